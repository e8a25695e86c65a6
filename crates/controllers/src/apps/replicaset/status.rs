//! The status of a replica set.

use jiff::Timestamp;
use reconcile::{Action, Op, Plan};
use serde_json::{Value, json};

use super::pods;
use super::state::State;
use crate::apps::types::{REPLICASETS, ReplicaSetStatus};
use crate::core::condition::{self, Condition};
use crate::core::pod::PODS;

/// Numbers that are left out when they are zero.
pub(crate) fn or_null(n: i32) -> Value {
    if n == 0 { Value::Null } else { n.into() }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn compute(state: &State, now: Timestamp) -> ReplicaSetStatus {
    let rs = &state.rs;
    let wanted = &rs.spec.template.labels;
    let min_ready = rs.spec.min_ready_seconds;
    let active = || state.active();
    let mut conditions = rs.status.conditions.clone();
    match failure(state) {
        Some((reason, message)) => {
            if condition::find(&conditions, "ReplicaFailure").is_none() {
                condition::set(
                    &mut conditions,
                    Condition::new("ReplicaFailure", "True", reason, message, now),
                );
            }
        }
        None => condition::remove(&mut conditions, "ReplicaFailure"),
    }
    ReplicaSetStatus {
        replicas: count(active().count()),
        fully_labeled_replicas: count(
            active().filter(|p| wanted.iter().all(|(k, v)| p.metadata.labels.get(k) == Some(v))).count(),
        ),
        ready_replicas: count(active().filter(|p| p.ready()).count()),
        available_replicas: count(active().filter(|p| p.available(min_ready, now)).count()),
        // The other kind has no such field.
        terminating_replicas: (state.kind.gvr == REPLICASETS)
            .then(|| count(state.owned().filter(|p| p.terminating()).count())),
        observed_generation: rs.metadata.generation,
        conditions,
    }
}

/// Why pods that are missing could not be made, or those too much not deleted.
fn failure(state: &State) -> Option<(&'static str, String)> {
    let missing = pods::missing(state);
    let relevant = |op: &Op| match op {
        Op::Create { gvr, .. } => *gvr == PODS && missing > 0,
        Op::Delete { gvr, .. } => *gvr == PODS && missing < 0,
        _ => false,
    };
    let f = state.failures.iter().find(|f| relevant(&f.op))?;
    Some((if missing > 0 { "FailedCreate" } else { "FailedDelete" }, f.status.message.clone()))
}

pub(crate) fn write(state: &State, now: Timestamp, plan: &mut Plan) {
    let rs = &state.rs;
    let min_ready = rs.spec.min_ready_seconds;
    if min_ready > 0 {
        let waiting = state.active().filter(|p| !p.available(min_ready, now));
        if let Some(at) = waiting.filter_map(|p| p.available_at(min_ready)).min() {
            plan.requeue_by(at);
        }
    }
    let new = compute(state, now);
    if new == rs.status {
        return;
    }
    let body = json!({
        "replicas": new.replicas,
        "fullyLabeledReplicas": or_null(new.fully_labeled_replicas),
        "readyReplicas": or_null(new.ready_replicas),
        "availableReplicas": or_null(new.available_replicas),
        "terminatingReplicas": new.terminating_replicas,
        "observedGeneration": new.observed_generation,
        "conditions": if new.conditions.is_empty() { Value::Null } else { json!(new.conditions) },
    });
    plan.always(vec![
        Action::status_patch(state.kind.gvr.clone(), &rs.metadata, &body).tolerate(&["NotFound"]),
    ]);
}

//! The status of a deployment, and how its progress is judged.
// k8s: pkg/controller/deployment/progress.go, sync.go calculateStatus

use std::time::Duration;

use jiff::Timestamp;
use reconcile::{Action, Plan, time};
use serde_json::{Value, json};

use super::state::{Sets, State};
use crate::apps::replicaset::or_null;
use crate::apps::types::{DEPLOYMENTS, Deployment, DeploymentStatus};
use crate::core::condition::{self, Condition};

fn compute(state: &State, sets: &Sets<'_>, conditions: Vec<Condition>, now: Timestamp) -> DeploymentStatus {
    let d = &state.d;
    let available = sets.available();
    let mut conditions = conditions;
    let (status, reason, message) = if available >= d.replicas() - d.max_unavailable() {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    let c = Condition::new("Available", status, reason, message, now);
    condition::set(&mut conditions, Condition { last_update_time: c.last_transition_time, ..c });
    DeploymentStatus {
        observed_generation: d.metadata.generation,
        replicas: sets.all().map(|rs| rs.status.replicas).sum(),
        updated_replicas: sets.new.map_or(0, |rs| rs.status.replicas),
        ready_replicas: sets.all().map(|rs| rs.status.ready_replicas).sum(),
        available_replicas: available,
        unavailable_replicas: (sets.total() - available).max(0),
        terminating_replicas: sets.all().map(|rs| rs.status.terminating_replicas).sum(),
        collision_count: d.status.collision_count,
        conditions,
    }
}

/// Whether a rollout has come to its end.
pub(crate) fn complete(d: &Deployment, s: &DeploymentStatus) -> bool {
    s.updated_replicas == d.replicas()
        && s.replicas == d.replicas()
        && s.available_replicas == d.replicas()
        && s.observed_generation >= d.metadata.generation
}

fn advanced(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    new.updated_replicas > old.updated_replicas
        || new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

fn timed_out(d: &Deployment, s: &DeploymentStatus, now: Timestamp) -> bool {
    let Some(c) = condition::find(&s.conditions, "Progressing") else { return false };
    match &*c.reason {
        "NewReplicaSetAvailable" => false,
        "ProgressDeadlineExceeded" => true,
        _ => deadline(d, c).is_some_and(|at| at < now),
    }
}

fn deadline(d: &Deployment, c: &Condition) -> Option<Timestamp> {
    let seconds = u64::try_from(d.progress_deadline()?).unwrap_or(0);
    Some(time::after(c.last_update_time?, Duration::from_secs(seconds)))
}

/// Plans the status with a judgement of the rollout's progress.
// k8s: progress.go syncRolloutStatus
pub(crate) fn rollout(state: &State, sets: &Sets<'_>, now: Timestamp, plan: &mut Plan) {
    let d = &state.d;
    let mut new = compute(state, sets, d.status.conditions.clone(), now);
    let current = condition::find(&d.status.conditions, "Progressing");
    if d.progress_deadline().is_none() {
        condition::remove(&mut new.conditions, "Progressing");
    } else if !(new.replicas == new.updated_replicas
        && current.is_some_and(|c| &*c.reason == "NewReplicaSetAvailable"))
    {
        judge(d, sets, current, &mut new, now);
    }
    let failure = sets
        .new
        .into_iter()
        .chain(sets.old.iter().copied())
        .find_map(|rs| condition::find(&rs.status.conditions, "ReplicaFailure"));
    match failure {
        Some(c) => {
            let c = Condition { last_update_time: c.last_transition_time, ..c.clone() };
            condition::set(&mut new.conditions, c);
        }
        None => condition::remove(&mut new.conditions, "ReplicaFailure"),
    }
    if let Some(c) = condition::find(&new.conditions, "Progressing")
        && !complete(d, &new)
        && &*c.reason != "ProgressDeadlineExceeded"
        && let Some(at) = deadline(d, c)
    {
        plan.requeue_by(time::after(at.max(now), Duration::from_secs(1)));
    }
    put(d, &new, plan);
}

fn judge(
    d: &Deployment,
    sets: &Sets<'_>,
    current: Option<&Condition>,
    new: &mut DeploymentStatus,
    now: Timestamp,
) {
    let subject = match sets.new {
        Some(rs) => format!("ReplicaSet \"{}\"", rs.metadata.name),
        None => format!("Deployment \"{}\"", d.metadata.name),
    };
    if complete(d, new) {
        let message = format!("{subject} has successfully progressed.");
        condition::set(&mut new.conditions, progressing("True", "NewReplicaSetAvailable", message, now));
    } else if advanced(&d.status, new) {
        let mut c = progressing("True", "ReplicaSetUpdated", format!("{subject} is progressing."), now);
        if let Some(old) = current.filter(|c| &*c.status == "True") {
            c.last_transition_time = old.last_transition_time;
        }
        // The same reason again must still move the update time: that is what the deadline counts from.
        condition::remove(&mut new.conditions, "Progressing");
        condition::set(&mut new.conditions, c);
    } else if timed_out(d, new, now) {
        let message = format!("{subject} has timed out progressing.");
        condition::set(&mut new.conditions, progressing("False", "ProgressDeadlineExceeded", message, now));
    }
}

/// Plans the status without a judgement of progress.
pub(crate) fn write(
    state: &State,
    sets: &Sets<'_>,
    conditions: Vec<Condition>,
    now: Timestamp,
    plan: &mut Plan,
) {
    put(&state.d, &compute(state, sets, conditions, now), plan);
}

fn put(d: &Deployment, new: &DeploymentStatus, plan: &mut Plan) {
    if *new == d.status {
        return;
    }
    let body = json!({
        "observedGeneration": new.observed_generation,
        "replicas": or_null(new.replicas),
        "updatedReplicas": or_null(new.updated_replicas),
        "readyReplicas": or_null(new.ready_replicas),
        "availableReplicas": or_null(new.available_replicas),
        "unavailableReplicas": or_null(new.unavailable_replicas),
        "terminatingReplicas": new.terminating_replicas,
        "conditions": if new.conditions.is_empty() { Value::Null } else { json!(new.conditions) },
    });
    plan.step(vec![Action::status_patch(DEPLOYMENTS, &d.metadata, &body).tolerate(&["NotFound"])]);
}

/// Writes the conditions and leaves the rest of the status alone.
pub(crate) fn conditions_only(d: &Deployment, conditions: &[Condition]) -> Action {
    Action::status_patch(DEPLOYMENTS, &d.metadata, &json!({"conditions": conditions}))
}

/// A Progressing condition as of now.
pub(crate) fn progressing(status: &str, reason: &str, message: String, now: Timestamp) -> Condition {
    let c = Condition::new("Progressing", status, reason, message, now);
    Condition { last_update_time: c.last_transition_time, ..c }
}

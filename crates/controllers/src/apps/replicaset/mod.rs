//! ReplicaSet: keeps as many pods of its template as it is told. A ReplicationController is the same in another form:
//! `core/replicationcontroller` decides by this room.
//!
//! Reads replica sets and pods; creates and deletes pods, adopts and releases them, writes the replica set's
//! status. It must never have more pods than wanted because an answer was lost: the engine holds the key
//! until the caches show the last writes, and a pod's name follows from the state that it was decided in, so
//! that a create that lands late meets its own repetition as `AlreadyExists`.
// k8s: pkg/controller/replicaset/replica_set.go

mod pods;
mod state;
mod status;

pub(crate) use status::or_null;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Answers, Caches, Controller, Interests, Key, Plan};

pub use self::state::{BURST_REPLICAS, SetKind, State};
use super::types::{BY_CONTROLLER, ReplicaSet};
use crate::core::pod::{self, Pod};
use crate::owners::MayAdopt;
use crate::shared::workload::{Workload, concerned, dependents};

/// The controller.
pub struct ReplicaSets;

fn related<W: Workload>(w: &W, caches: &Caches) -> BTreeMap<Box<str>, usize> {
    let mut out = BTreeMap::new();
    let sets: Vec<&Arc<str>> = match w.meta().controller() {
        Some(o) => caches.kind::<W>().by_index(BY_CONTROLLER, &o.uid).map(|r| &r.meta().uid).collect(),
        None => vec![&w.meta().uid],
    };
    for uid in sets {
        for p in caches.kind::<Pod>().by_index(pod::BY_CONTROLLER, uid).filter(|p| p.active()) {
            *out.entry(p.spec.node_name.clone()).or_default() += 1;
        }
    }
    out
}

/// What a decision on `w` depends on, which is the set `rs` in that kind's form.
pub(crate) fn observe<W: Workload>(w: &W, rs: &Arc<ReplicaSet>, caches: &Caches, answers: &Answers) -> State {
    let pods: Vec<Arc<Pod>> = dependents(w, caches);
    let shrinks = pods.len() > usize::try_from(rs.replicas()).unwrap_or(0);
    State {
        may_adopt: MayAdopt::from_answers(answers, &W::GVR, w.meta()),
        kind: SetKind::of::<W>(),
        rs: rs.clone(),
        pods,
        related: if shrinks { related(w, caches) } else { BTreeMap::new() },
        failures: answers.failures.clone(),
    }
}

/// Decides on a set of either kind.
pub(crate) fn decide(state: &State, now: Timestamp) -> Plan {
    let candidates = state.pods.iter().filter(|p| p.active()).map(|p| &p.metadata);
    let claims = state.claimer().plan(candidates, state.may_adopt);
    // Adopted pods count; decide how many are missing when the caches show them.
    if let Some(plan) = claims
        && !plan.retry
    {
        return plan;
    }
    let mut plan = Plan::default();
    if !state.rs.metadata.deleting() {
        pods::manage(state, now, &mut plan);
    }
    status::write(state, now, &mut plan);
    plan
}

impl Controller for ReplicaSets {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<ReplicaSet>();
        i.on::<Pod>(concerned::<ReplicaSet, Pod>);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let rs = caches.kind::<ReplicaSet>().by_key(key)?;
        Some(observe(&**rs, rs, caches, answers))
    }

    fn reconcile(&self, state: &State, _: &mut (), now: Timestamp) -> Plan {
        decide(state, now)
    }
}

#[cfg(test)]
mod tests;

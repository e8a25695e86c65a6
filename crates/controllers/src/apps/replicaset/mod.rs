//! ReplicaSet: keeps as many pods of its template as it is told.
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
use reconcile::{Answers, Caches, Controller, Delta, Interests, Key, KeySink, Plan};

pub use self::state::{BURST_REPLICAS, State};
use super::types::{BY_CONTROLLER, REPLICASETS, ReplicaSet};
use crate::core::pod::{self, Pod};
use crate::owners::MayAdopt;

/// The controller.
pub struct ReplicaSets;

/// The replica sets that a changed pod concerns.
fn concerned(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    for p in delta.both() {
        match p.metadata.controller() {
            Some(o) if o.is_a("apps", "ReplicaSet") => sink.add(Key::new(&p.metadata.namespace, &o.name)),
            Some(_) => {}
            None => {
                let sets = caches.kind::<ReplicaSet>().list(&p.metadata.namespace);
                for rs in sets.filter(|rs| !rs.spec.selector.is_empty()) {
                    if rs.spec.selector.matches(&p.metadata.labels) {
                        sink.add(rs.metadata.key());
                    }
                }
            }
        }
    }
}

fn related(rs: &ReplicaSet, caches: &Caches) -> BTreeMap<Box<str>, usize> {
    let mut out = BTreeMap::new();
    let sets: Vec<&Arc<str>> = match rs.metadata.controller() {
        Some(o) => {
            caches.kind::<ReplicaSet>().by_index(BY_CONTROLLER, &o.uid).map(|r| &r.metadata.uid).collect()
        }
        None => vec![&rs.metadata.uid],
    };
    for uid in sets {
        for p in caches.kind::<Pod>().by_index(pod::BY_CONTROLLER, uid).filter(|p| p.active()) {
            *out.entry(p.spec.node_name.clone()).or_default() += 1;
        }
    }
    out
}

impl Controller for ReplicaSets {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<ReplicaSet>();
        i.on::<Pod>(concerned);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let rs = caches.kind::<ReplicaSet>().by_key(key)?.clone();
        let cached = caches.kind::<Pod>();
        let mut pods: Vec<Arc<Pod>> =
            cached.by_index(pod::BY_CONTROLLER, &rs.metadata.uid).cloned().collect();
        let orphans = cached.by_index(pod::BY_ORPHAN, &rs.metadata.namespace);
        pods.extend(orphans.filter(|p| rs.spec.selector.matches(&p.metadata.labels)).cloned());
        let shrinks = pods.len() > usize::try_from(rs.replicas()).unwrap_or(0);
        let related = if shrinks { related(&rs, caches) } else { BTreeMap::new() };
        Some(State {
            may_adopt: MayAdopt::from_answers(answers, &REPLICASETS, &rs.metadata),
            rs,
            pods,
            related,
            failures: answers.failures.clone(),
        })
    }

    fn reconcile(&self, state: &State, _: &mut (), now: Timestamp) -> Plan {
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
}

#[cfg(test)]
mod tests;

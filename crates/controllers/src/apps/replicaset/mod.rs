//! ReplicaSet: keeps as many pods of its template as it is told.
//!
//! Reads replica sets and pods; creates and deletes pods, adopts and releases them, writes the replica set's
//! status. It must never have more pods than wanted because an answer was lost: the engine holds the key
//! until the caches show the last writes, and a pod's name follows from the state that it was decided in, so
//! that a create that lands late meets its own repetition as `AlreadyExists`.
// k8s: pkg/controller/replicaset/replica_set.go

mod pods;
mod status;

pub(crate) use status::or_null;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Answers, Caches, Controller, Delta, Failure, Interests, Key, KeySink, Plan};

use super::types::{BY_CONTROLLER, REPLICASETS, ReplicaSet};
use crate::core::pod::{self, PODS, Pod};
use crate::owners::{Claimer, MayAdopt};

/// At most so many pods are created or deleted by one decision.
// k8s: replica_set.go BurstReplicas
pub const BURST_REPLICAS: usize = 500;

/// The controller.
pub struct ReplicaSets;

/// What a decision on a replica set depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub rs: Arc<ReplicaSet>,
    /// Pods that it manages, and those that nobody manages and whose labels match.
    pub pods: Vec<Arc<Pod>>,
    pub may_adopt: MayAdopt,
    /// Active pods of the replica sets with the same owner, by node; only when pods must go.
    pub related: BTreeMap<Box<str>, usize>,
    pub failures: Vec<Failure>,
}

impl State {
    pub(crate) fn claimer(&self) -> Claimer<'_> {
        Claimer {
            owner: &self.rs.metadata,
            owner_gvr: REPLICASETS,
            owner_api_version: "apps/v1",
            owner_kind: "ReplicaSet",
            selector: &self.rs.spec.selector,
            gvr: PODS,
        }
    }

    /// The pods that it manages and that have not finished and are not being deleted.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.owned().filter(|p| p.active())
    }

    pub(crate) fn owned(&self) -> impl Iterator<Item = &Arc<Pod>> {
        crate::owners::owned(&self.pods, |p| &p.metadata, &self.rs.metadata, &self.rs.spec.selector)
    }
}

/// The replica sets that a changed pod concerns.
fn concerned(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    for p in delta.both() {
        match p.metadata.controller() {
            Some(o) if &*o.kind == "ReplicaSet" => sink.add(Key::new(&p.metadata.namespace, &o.name)),
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

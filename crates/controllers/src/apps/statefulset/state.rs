//! What a decision on a stateful set is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Answers, Caches, Failure, ObjectMeta};

use super::types::{Claim, STATEFULSETS, StatefulSet, claim_name};
use crate::core::pod::Pod;
use crate::owners::MayAdopt;
use crate::shared::revision::{self, Data, REVISION_HASH, Revision};
use crate::shared::workload::dependents;

/// At most so many pods are made by one decision.
// k8s: pkg/controller/statefulset/stateful_set_control.go MaxBatchSize
pub const LIMIT: usize = 500;

/// What a decision on a stateful set depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub set: Arc<StatefulSet>,
    /// Pods that it manages, and those that nobody manages and whose labels match.
    pub pods: Vec<Arc<Pod>>,
    /// Revisions that it manages, and those that nobody manages and whose labels match; oldest first.
    pub revisions: Vec<Arc<Revision>>,
    /// Another revision that has the name which the next one would get.
    pub same_name: Option<Arc<Revision>>,
    /// By name: claims of its pods, and of those that it may make now.
    pub claims: BTreeMap<String, Arc<Claim>>,
    /// Numbers of pods that it may make now and whose names others have.
    pub taken: BTreeSet<i64>,
    pub may_adopt: MayAdopt,
    pub failures: Vec<Failure>,
}

/// Pods by their numbers.
pub(super) struct Members<'a> {
    pub wanted: BTreeMap<i64, &'a Pod>,
    /// Those that are not wanted any more, the highest number first.
    pub condemned: Vec<(i64, &'a Pod)>,
}

impl Members<'_> {
    pub(super) fn all(&self) -> impl Iterator<Item = &Pod> {
        self.wanted.values().copied().chain(self.condemned.iter().map(|(_, p)| *p))
    }
}

impl State {
    pub(super) fn owns(&self, m: &ObjectMeta) -> bool {
        m.controlled_by(&self.set.metadata.uid) && self.set.spec.selector.matches(&m.labels)
    }

    pub(super) fn members(&self) -> Members<'_> {
        let (mut wanted, mut condemned) = (BTreeMap::new(), Vec::new());
        for p in self.pods.iter().filter(|p| self.owns(&p.metadata)) {
            let Some(n) = self.set.ordinal(&p.metadata.name) else { continue };
            if self.set.wanted().contains(&n) {
                wanted.insert(n, &**p);
            } else {
                condemned.push((n, &**p));
            }
        }
        condemned.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
        Members { wanted, condemned }
    }

    /// Its own revisions, oldest first.
    pub(super) fn own_revisions(&self) -> impl DoubleEndedIterator<Item = &Arc<Revision>> {
        self.revisions.iter().filter(|r| self.owns(&r.metadata))
    }
}

/// Gathers the state of a set.
pub(super) fn observe(set: &Arc<StatefulSet>, caches: &Caches, answers: &Answers) -> State {
    let namespace = &*set.metadata.namespace;
    let mut revisions: Vec<Arc<Revision>> = dependents(&**set, caches);
    revision::sort(&mut revisions);
    let mut state = State {
        may_adopt: MayAdopt::from_answers(answers, &STATEFULSETS, &set.metadata),
        set: set.clone(),
        pods: dependents(&**set, caches),
        revisions,
        failures: answers.failures.clone(),
        ..State::default()
    };
    let data = Data::of(&set.spec.template);
    if !state.own_revisions().any(|r| r.data == data) {
        let cached = caches.kind::<Revision>();
        state.same_name = cached.get(namespace, &next_revision(set, &data).0).cloned();
    }
    let members = state.members();
    let missing: Vec<i64> = set
        .wanted()
        .filter(|n| !members.wanted.contains_key(n))
        .take(if set.parallel() { LIMIT } else { 1 })
        .collect();
    let there = members.wanted.keys().copied().chain(members.condemned.iter().map(|(n, _)| *n));
    let mut claims = BTreeMap::new();
    for n in there.chain(missing.iter().copied()) {
        let pod = set.pod_name(n);
        for name in set.spec.volume_claim_templates.iter().map(|t| claim_name(t, &pod)) {
            if let Some(claim) = caches.kind::<Claim>().get(namespace, &name) {
                claims.insert(name, claim.clone());
            }
        }
    }
    let pods = caches.kind::<Pod>();
    let taken = missing.into_iter().filter(|n| pods.get(namespace, &set.pod_name(*n)).is_some()).collect();
    State { claims, taken, ..state }
}

/// Name and hash of the revision that is made next, should one have to be.
pub(super) fn next_revision(set: &StatefulSet, data: &Data) -> (String, String) {
    let hash = data.hash(Some(set.status.collision_count.unwrap_or(0)));
    (revision::name(&set.metadata.name, &hash), hash)
}

/// The revision that a pod is of.
pub(super) fn revision_of(p: &Pod) -> &str {
    p.metadata.labels.get(REVISION_HASH).unwrap_or("")
}

pub(super) fn ready(p: &Pod) -> bool {
    &*p.status.phase == "Running" && p.ready()
}

/// Whether it counts against what may be unavailable.
pub(super) fn unavailable(set: &StatefulSet, p: &Pod, now: Timestamp) -> bool {
    p.metadata.deleting() || !p.available(set.spec.min_ready_seconds, now)
}

//! StatefulSet: numbered pods, each with a name, a network identity and claims of its own.
//!
//! Reads stateful sets, pods, claims and revisions; creates, mends, deletes, adopts and releases pods, creates claims
//! and says whose they are, keeps revisions, writes the status. It must never have two pods of one number, never
//! delete a claim itself, and unless the set is parallel never make or delete a pod before its predecessor in the order
//! is done.
// k8s: pkg/controller/statefulset/stateful_set.go, stateful_set_control.go

mod claims;
mod make;
mod replicas;
mod revisions;
mod state;
mod status;
mod types;
mod update;

use jiff::Timestamp;
use reconcile::{
    Answers, Caches, Controller, Delta, EventRecord, Failure, Interests, Key, KeySink, ObjectMeta, Op, Plan,
};

pub use self::make::{POD_INDEX, POD_NAME};
use self::replicas::Round;
pub use self::state::{LIMIT, State};
pub use self::types::{
    CLAIMS, Claim, ClaimTemplate, Ordinals, RetentionPolicy, RollingUpdate, STATEFULSETS, StatefulSet,
    StatefulSetSpec, StatefulSetStatus, UpdateStrategy,
};
use crate::core::pod::{PODS, Pod};
use crate::shared::revision::{REVISIONS, Revision};
use crate::shared::workload::{Workload, concerned};

/// The controller.
pub struct StatefulSets;

/// A pod may wait for a claim to go, and a claim's owners are put right.
fn claim_changed(delta: &Delta<Claim>, caches: &Caches, sink: &mut KeySink) {
    let Some(claim) = delta.latest() else { return };
    if let (Some(old), Some(new)) = (&delta.old, &delta.new) {
        let same = old.metadata.owner_references == new.metadata.owner_references
            && old.metadata.deleting() == new.metadata.deleting();
        if same {
            return;
        }
    }
    for set in caches.kind::<StatefulSet>().list(&claim.metadata.namespace) {
        if set.pod_of_claim(&claim.metadata.name).is_some() {
            sink.add(set.metadata.key());
        }
    }
}

impl Controller for StatefulSets {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<StatefulSet>();
        i.on::<Pod>(concerned::<StatefulSet, Pod>);
        i.on::<Revision>(concerned::<StatefulSet, Revision>);
        i.on::<Claim>(claim_changed);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let set = caches.kind::<StatefulSet>().by_key(key)?;
        Some(state::observe(set, caches, answers))
    }

    // k8s: stateful_set.go sync, stateful_set_control.go updateStatefulSet
    fn reconcile(&self, state: &State, _: &mut (), now: Timestamp) -> Plan {
        let set = &state.set;
        if let Some(plan) = ownership(state) {
            return plan;
        }
        let mut plan = Plan { events: failed_claims(state), ..Plan::default() };
        if &*set.spec.update_strategy.kind == "Recreate" {
            let (namespace, name) = (&set.metadata.namespace, &set.metadata.name);
            let message = format!(
                "statefulset {namespace}/{name} uses Recreate strategy but feature gate \
                 StatefulSetRecreateStrategy is disabled"
            );
            plan.events.push(EventRecord::warning(set.about(), "UnknownStrategy", message));
            plan.retry = true;
            return plan;
        }
        let Some(chosen) = revisions::choose(state, &mut plan) else { return plan };
        let members = state.members();
        if !set.metadata.deleting() {
            let round = Round { state, members: &members, chosen: &chosen, now };
            if round.wanted(&mut plan) && round.condemned(&mut plan) && set.rolling() {
                round.update(&mut plan);
            }
        }
        status::write(set, &members, &chosen, now, &mut plan);
        revisions::truncate(state, &chosen, &members, &mut plan);
        plan
    }
}

/// Settles which revisions and pods are its own. `None`: it is settled.
fn ownership(state: &State) -> Option<Plan> {
    let set = &state.set;
    let orphans = state.revisions.iter().map(|r| &r.metadata).filter(|m| m.controller().is_none());
    if let Some(plan) = set.claimer(REVISIONS).plan(orphans, state.may_adopt) {
        return Some(plan);
    }
    let claimer = set.claimer(PODS);
    let named = |m: &&ObjectMeta| set.ordinal(&m.name).is_some();
    let metas = || state.pods.iter().map(|p| &p.metadata);
    // Of pods that have other names only those are its business that it manages.
    let candidates = metas().filter(|m| named(m) || m.controlled_by(&set.metadata.uid));
    let mut plan = claimer.plan(candidates, state.may_adopt);
    if !set.metadata.deleting() {
        let misnamed = metas().filter(|m| state.owns(m) && !named(m));
        let release: Vec<_> = misnamed.map(|m| claimer.release(m, &[])).collect();
        if !release.is_empty() {
            plan.get_or_insert_default().step(release);
        }
    }
    plan
}

/// What users are told of pods whose claims could not be made.
fn failed_claims(state: &State) -> Vec<EventRecord> {
    let set = &state.set;
    let tell = |f: &Failure| {
        let Op::Create { gvr, name, .. } = &f.op else { return None };
        if *gvr != CLAIMS {
            return None;
        }
        let message = format!(
            "Create Pod {} in StatefulSet {} failed error: failed to create PVC {name}: {}",
            set.pod_of_claim(name)?,
            set.metadata.name,
            f.status.message
        );
        Some(EventRecord::warning(set.about(), "FailedCreate", message))
    };
    state.failures.iter().filter_map(tell).collect()
}

#[cfg(test)]
mod tests;

//! Disruption: says of every disruption budget how many of its pods may be evicted now, and takes back that a pod is a
//! disruption's target when it does not go.
//!
//! It evicts nothing: the API server does, and takes what it grants off the status, which this controller makes good
//! when the pods are gone or have not gone in time.
// k8s: pkg/controller/disruption/disruption.go

mod expected;
mod scale;
mod stale;
mod state;
mod status;
pub mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{
    Answers, Caches, Controller, Delta, EventRecord, Interests, Key, KeySink, ObjectReference, Plan,
    Projection,
};

use self::expected::Lacking;
pub use self::scale::Wanted;
pub use self::state::{Covered, State, Told};
use self::types::Budget;
use crate::apps::statefulset::StatefulSet;
use crate::apps::types::{Deployment, ReplicaSet};
use crate::core::condition::find;
use crate::core::pod::Pod;
use crate::core::replicationcontroller::ReplicationController;

/// Before the name in the key of a pod; the keys of budgets are their names, which have no slash.
const POD: &str = "pod/";

/// The controller.
pub struct Disruption;

fn pod_changed(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    for p in delta.both() {
        for b in caches.kind::<Budget>().list(&p.metadata.namespace).filter(|b| b.selects(&p.metadata)) {
            sink.add(b.metadata.key());
        }
    }
    if let Some(p) = delta.new.as_ref().filter(|p| stale::since(p).is_some()) {
        sink.add(Key::new(&p.metadata.namespace, &format!("{POD}{}", p.metadata.name)));
    }
}

/// Wakes the budgets that count the pods which owners want, when an owner wants another number.
fn scaled<W: Projection>(i: &mut Interests, replicas: fn(&W) -> i64) {
    i.on::<W>(move |delta, caches, sink| {
        let (Some(old), Some(new)) = (&delta.old, &delta.new) else { return };
        if replicas(old) == replicas(new) {
            return;
        }
        let budgets = caches.kind::<Budget>().list(&new.meta().namespace);
        budgets.filter(|b| b.asks_owners()).for_each(|b| sink.add(b.metadata.key()));
    });
}

/// The kinds of owners have changed: what failed for want of one may go now.
fn served(caches: &Caches, sink: &mut KeySink) {
    for b in caches.kind::<Budget>().iter() {
        let condition = find(&b.status.conditions, "DisruptionAllowed");
        if condition.is_some_and(|c| &*c.reason == "SyncFailed") {
            sink.add(b.metadata.key());
        }
    }
}

/// Those of a budget's pods that others select too, if it is the first of them by name.
fn shared(budget: &Budget, pods: &[Arc<Pod>], caches: &Caches) -> Vec<Arc<Pod>> {
    let all: Vec<_> = caches.kind::<Budget>().list(&budget.metadata.namespace).collect();
    if all.len() < 2 {
        return Vec::new();
    }
    let first = |p: &&Arc<Pod>| {
        let mut of_pod = all.iter().filter(|b| b.selects(&p.metadata));
        of_pod.next().is_some_and(|b| b.metadata.name == budget.metadata.name) && of_pod.next().is_some()
    };
    pods.iter().filter(first).cloned().collect()
}

impl Controller for Disruption {
    type State = State;
    type Memory = Told;

    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Budget>();
        i.on::<Pod>(pod_changed);
        scaled::<Deployment>(i, |d| d.replicas().into());
        scaled::<ReplicaSet>(i, |s| s.replicas().into());
        scaled::<ReplicationController>(i, |c| c.set.replicas().into());
        scaled::<StatefulSet>(i, StatefulSet::replicas);
        i.on_discovery(served);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        if let Some(name) = key.name.strip_prefix(POD) {
            return caches.kind::<Pod>().get(&key.namespace, name).cloned().map(State::Target);
        }
        let budget = caches.kind::<Budget>().by_key(key)?.clone();
        let pods = caches.kind::<Pod>().list(&key.namespace).filter(|p| budget.selects(&p.metadata));
        let pods: Vec<Arc<Pod>> = pods.cloned().collect();
        let mut owners = BTreeMap::new();
        if budget.asks_owners() {
            for owner in pods.iter().filter_map(|p| p.metadata.controller()) {
                let known = || scale::wanted(owner, &key.namespace, caches, answers);
                owners.entry(owner.uid.clone()).or_insert_with(known);
            }
        }
        let shared = shared(&budget, &pods, caches);
        let lagging = caches.kind::<Pod>().seen() < budget.metadata.resource_version;
        Some(State::Budget(Covered { budget, pods, owners, shared, lagging }))
    }

    fn reconcile(&self, state: &State, told: &mut Told, now: Timestamp) -> Plan {
        match state {
            State::Target(pod) => stale::clear(pod, now),
            State::Budget(covered) => budget(covered, told, now),
        }
    }
}

// k8s: pkg/controller/disruption/disruption.go trySync
fn budget(state: &Covered, told: &mut Told, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let about = || state.budget.about();
    let expected = match expected::expected(state) {
        Err(Lacking::Reads(reads)) => return Plan::of(reads),
        other => other,
    };
    tell_shared(state, told, &mut plan);
    if state.pods.is_empty() {
        plan.events.push(EventRecord::normal(about(), "NoPods", "No matching pods found"));
    }
    match expected {
        Ok(expected) => {
            if expected.unmanaged {
                let why = "Some of the pods that this PodDisruptionBudget selects are managed by nobody, so that its \
                           status does not count them. Set .spec.minAvailable to an integer to have them counted.";
                plan.events.push(EventRecord::warning(about(), "UnmanagedPods", why));
            }
            status::counted(state, &expected, now, &mut plan);
        }
        Err(Lacking::Failed { why, again }) => {
            let text = format!("Failed to calculate the number of expected pods: {why}");
            plan.events.push(EventRecord::warning(about(), "CalculateExpectedPodCountFailed", text));
            status::failed(&state.budget, &why, now, &mut plan);
            plan.retry = again;
        }
        Err(Lacking::Reads(_)) => {}
    }
    plan
}

/// Tells of pods with several budgets, once of each.
// k8s: pkg/controller/disruption/disruption.go getPdbForPod
fn tell_shared(state: &Covered, told: &mut Told, plan: &mut Plan) {
    let now: BTreeSet<_> = state.shared.iter().map(|p| p.metadata.uid.clone()).collect();
    for pod in state.shared.iter().filter(|p| !told.0.contains(&p.metadata.uid)) {
        let m = &pod.metadata;
        let why = format!(
            "Pod {:?}/{:?} matches multiple PodDisruptionBudgets.  Chose {:?} arbitrarily.",
            m.namespace, m.name, state.budget.metadata.name
        );
        let about = ObjectReference::to("v1", "Pod", m);
        plan.events.push(EventRecord::warning(about, "MultiplePodDisruptionBudgets", why));
    }
    told.0 = now;
}

#[cfg(test)]
mod tests;

//! DaemonSet: keeps one pod of its template on every node that fits.
//!
//! Reads daemon sets, their revisions, pods and nodes; creates and deletes pods, keeps revisions of the template,
//! adopts and releases both, writes the status. A pod is bound to its node by a required node affinity to the node's
//! name, and placed by the scheduler. It must never have two pods on a node because an answer was lost: a pod's name
//! follows from the node and from the pods that are there for it.
// k8s: pkg/controller/daemon/daemon_controller.go

mod backoff;
mod changes;
mod history;
mod manage;
mod place;
mod rolling;
mod state;
mod status;
mod types;

use std::collections::BTreeSet;

use jiff::Timestamp;
use reconcile::{Answers, Caches, Controller, Delta, EventRecord, Interests, Key, KeySink, Plan};

pub use self::changes::BURST_REPLICAS;
pub use self::place::{Fit, Placement};
pub use self::state::{Memory, POD_GENERATION, State};
pub use self::types::{DAEMON_SETS, DaemonSet, DaemonSetSpec, DaemonSetStatus, RollingUpdate, Strategy};

use self::history::History;
use self::state::View;
use crate::core::node::Node;
use crate::core::pod::{self, PODS, Pod};
use crate::owners::MayAdopt;
use crate::shared::revision::{self, REVISIONS, Revision};
use crate::shared::workload::{Workload, concerned, dependents};

/// The controller.
pub struct DaemonSets;

/// The daemon sets that get a pod on a node, lose one, or count otherwise when it changes.
// k8s: pkg/controller/daemon/daemon_controller.go syncNodeUpdate
fn node_changed(delta: &Delta<Node>, caches: &Caches, sink: &mut KeySink) {
    if let (Some(old), Some(new)) = (&delta.old, &delta.new)
        && old.metadata.labels == new.metadata.labels
        && old.spec.taints == new.spec.taints
    {
        return;
    }
    let Some(node) = delta.latest() else { return };
    let on_node = caches.kind::<Pod>().by_index(pod::BY_NODE, &node.metadata.name);
    let with_pod: BTreeSet<&str> = on_node.filter_map(|p| Some(&*p.metadata.controller()?.uid)).collect();
    for ds in caches.kind::<DaemonSet>().iter() {
        let fit = |n: &Node| ds.placement.fit(n);
        let (before, now) = (delta.old.as_deref().map(fit), delta.new.as_deref().map(fit));
        let (before, now) = (before.unwrap_or_default(), now.unwrap_or_default());
        let has = with_pod.contains(&*ds.metadata.uid);
        let counts = before.run != now.run || (has && ds.status.number_misscheduled > 0);
        if (now.run && !has) || (!now.stay && has) || counts {
            sink.add(ds.metadata.key());
        }
    }
}

impl Controller for DaemonSets {
    type State = State;
    type Memory = Memory;

    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<DaemonSet>();
        i.on::<Pod>(concerned::<DaemonSet, Pod>);
        i.on::<Revision>(concerned::<DaemonSet, Revision>);
        i.on::<Node>(node_changed);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let ds = caches.kind::<DaemonSet>().by_key(key)?.clone();
        let name = revision::name(&ds.metadata.name, &ds.data.hash(ds.status.collision_count));
        Some(State {
            nodes: caches.kind::<Node>().iter().cloned().collect(),
            pods: dependents(&*ds, caches),
            revisions: dependents(&*ds, caches),
            named: caches.kind::<Revision>().get(&ds.metadata.namespace, &name).cloned(),
            may_adopt: MayAdopt::from_answers(answers, &DAEMON_SETS, &ds.metadata),
            failures: answers.failures.clone(),
            ds,
        })
    }

    // k8s: pkg/controller/daemon/daemon_controller.go syncDaemonSet
    fn reconcile(&self, state: &State, memory: &mut Memory, now: Timestamp) -> Plan {
        let ds = &*state.ds;
        if ds.spec.selector.is_empty() {
            let message = "This daemon set is selecting all pods. A non-empty selector is required.";
            let event = EventRecord::warning(ds.about(), "SelectingAll", message);
            return Plan { events: vec![event], ..Plan::default() };
        }
        // Its revisions may be gone before its pods: what it would count would not be true.
        if ds.metadata.deleting() {
            return Plan::default();
        }
        let pods = state.pods.iter().map(|p| &p.metadata);
        let revisions = state.revisions.iter().map(|r| &r.metadata);
        let claims = ds.claimer(PODS).plan(pods, state.may_adopt);
        if let Some(plan) = claims.or_else(|| ds.claimer(REVISIONS).plan(revisions, state.may_adopt)) {
            return plan;
        }
        let (hash, old) = match history::settle(state) {
            History::Unsettled(plan) => return plan,
            History::Settled { hash, old } => (hash, old),
        };
        let view = View::new(state, hash, now);
        let mut plan = Plan::default();
        memory.see(&view);
        memory.backoffs.refresh(ds, now);
        let mut changes = manage::manage(&view, &mut memory.backoffs, &mut plan);
        if changes.is_empty() && ds.rolling() {
            changes = rolling::update(&view);
        }
        changes.plan(&view, memory, &mut plan);
        plan.step(history::cleanup(state, old));
        status::write(&view, &mut plan);
        plan
    }
}

#[cfg(test)]
mod tests;

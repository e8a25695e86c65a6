//! Node lifecycle: notices when a node no longer reports, says so in its conditions, and taints it so that
//! pods keep away or leave.
//!
//! Reads nodes, their leases and pods; writes node conditions and taints, and the `Ready` condition of pods
//! on nodes that went silent. It must never delete a pod: taint eviction does.
//!
//! A node counts as heard from at the time written in its lease or its `Ready` heartbeat, and in any case at
//! the start of this process, so that a control plane that was away does not take all nodes for dead.
// k8s: pkg/controller/nodelifecycle/node_lifecycle_controller.go

mod health;
mod taints;
mod zones;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{Action, Answers, Caches, Controller, Interests, Key, ObjectMeta, Plan, Projection, time};
use serde::Deserialize;
use serde_json::json;

use crate::core::condition::find;
use crate::core::node::Node;
use crate::core::pod::{self, PODS, Pod};

const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The controller. Its keys are nodes.
pub struct NodeLifecycle {
    /// When this process started to look.
    pub started: Timestamp,
    /// How long a node may be silent.
    pub grace: Duration,
    /// How long a new node may take to report first.
    pub startup_grace: Duration,
}

impl NodeLifecycle {
    /// With upstream's times.
    #[must_use]
    pub fn new(started: Timestamp) -> Self {
        NodeLifecycle { started, grace: Duration::from_secs(40), startup_grace: Duration::from_secs(60) }
    }
}

/// A node's lease.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Lease {
    pub metadata: ObjectMeta,
    pub spec: LeaseSpec,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    pub renew_time: Option<Timestamp>,
}

impl Projection for Lease {
    const GVR: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// How the nodes of a zone are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zone {
    pub nodes: usize,
    pub not_ready: usize,
    /// When the newest `NoExecute` taint for not being ready was put on one of them.
    pub last_taint: Option<Timestamp>,
}

/// What a decision on a node depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub node: Arc<Node>,
    /// When it was last heard from; `None`: never.
    pub heard: Option<Timestamp>,
    /// When silence counts from at the earliest.
    pub floor: Timestamp,
    /// Pods on it whose `Ready` condition is true.
    pub ready_pods: Vec<Arc<Pod>>,
    pub zone: Zone,
    /// Whether any zone has a node that is ready.
    pub some_ready: bool,
}

impl Controller for NodeLifecycle {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Node>();
        i.on::<Lease>(|delta, _, sink| {
            let Some(l) = delta.latest().filter(|l| &*l.metadata.namespace == LEASE_NAMESPACE) else {
                return;
            };
            // A renewal only moves the time at which the node is looked at anyway.
            if delta.old.is_none() || delta.new.is_none() {
                sink.add(Key::new("", &l.metadata.name));
            }
        });
        i.on::<Pod>(|delta, caches, sink| {
            let Some(p) = delta.new.as_ref().filter(|p| p.ready()) else { return };
            let node = caches.kind::<Node>().get("", &p.spec.node_name);
            if node.is_some_and(|n| ready_status(n) == "Unknown") {
                sink.add(Key::new("", &p.spec.node_name));
            }
        });
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let nodes = caches.kind::<Node>();
        let node = nodes.by_key(key).filter(|n| !n.metadata.deleting())?.clone();
        let lease = caches.kind::<Lease>().get(LEASE_NAMESPACE, &key.name);
        let beat = find(&node.status.conditions, "Ready").and_then(|c| {
            // What this controller wrote itself is no sign of life.
            c.last_heartbeat_time.filter(|_| &*c.status != "Unknown")
        });
        let heard = lease.and_then(|l| l.spec.renew_time).into_iter().chain(beat).max();
        let mut zones: BTreeMap<String, Zone> = BTreeMap::new();
        for n in nodes.iter() {
            zones::count(zones.entry(zones::name(n)).or_default(), n);
        }
        let pods = caches.kind::<Pod>().by_index(pod::BY_NODE, &key.name);
        Some(State {
            ready_pods: pods.filter(|p| p.ready()).cloned().collect(),
            zone: zones.get(&zones::name(&node)).cloned().unwrap_or_default(),
            some_ready: zones.values().any(|z| z.not_ready < z.nodes),
            floor: self.started.max(node.metadata.creation_timestamp.unwrap_or(self.started)),
            heard,
            node,
        })
    }

    fn reconcile(&self, state: &State, _: &mut (), now: Timestamp) -> Plan {
        let grace = if state.heard.is_none() { self.startup_grace } else { self.grace };
        let deadline = time::after(state.heard.map_or(state.floor, |t| t.max(state.floor)), grace);
        let mut plan = Plan::default();
        if now > deadline {
            if let Some(action) = health::silence(&state.node, now) {
                plan.events.extend(health::event(&state.node));
                plan.step(vec![action]);
                return plan;
            }
        } else {
            plan.requeue_by(time::after(deadline, Duration::from_millis(100)));
        }
        if ready_status(&state.node) == "Unknown" {
            plan.step(state.ready_pods.iter().map(|p| not_ready(p, now)).collect());
        }
        taints::settle(state, now, &mut plan);
        plan
    }
}

/// `True`, `False`, `Unknown`, or empty when the node has never reported.
pub(crate) fn ready_status(n: &Node) -> &str {
    find(&n.status.conditions, "Ready").map_or("", |c| &c.status)
}

// k8s: pkg/controller/util/node/controller_utils.go MarkPodsNotReady
fn not_ready(p: &Pod, now: Timestamp) -> Action {
    let body = json!({
        "metadata": {"uid": p.metadata.uid},
        "status": {"conditions": [
            {"type": "Ready", "status": "False", "lastTransitionTime": time::rfc3339(now)},
        ]},
    });
    Action::strategic_patch(PODS, &p.metadata.key(), "status", &body).tolerate(&["NotFound"])
}

#[cfg(test)]
mod tests;

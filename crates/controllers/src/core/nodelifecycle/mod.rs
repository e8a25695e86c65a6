//! Node lifecycle: the conditions of nodes that went silent, the taints that follow from a node's conditions, and
//! the `Ready` condition of pods on silent nodes. It must never delete a pod: taint eviction does. It must never
//! compare a time that a node wrote with its own: clocks differ.
//!
//! A node is silent when what it writes, its lease and its `Ready` heartbeat, has not changed for as long as this
//! process watched. So a control plane that was away does not take all nodes for dead.
// k8s: pkg/controller/nodelifecycle/node_lifecycle_controller.go

mod health;
mod labels;
mod silence;
mod state;
mod taints;
mod zones;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reconcile::{
    Action, Answers, Caches, Controller, Delta, EventRecord, Interests, Key, KeySink, ObjectReference, Plan,
    time,
};
use serde_json::{Map, Value, json};

pub use self::silence::Seen;
pub use self::state::{Lease, LeaseSpec, Signs, State, Zone};
use crate::core::condition::find;
use crate::core::node::{
    BY_ZONE, EMPTIED_BY_ZONE, NODES, NOT_READY_BY_ZONE, Node, READY, Taint, WAITING_BY_ZONE,
};
use crate::core::pod::{self, PODS, Pod};

const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The controller. Its keys are nodes.
pub struct NodeLifecycle {
    /// How long a node may be silent.
    pub grace: Duration,
    /// How long a new node may take to report first.
    pub startup_grace: Duration,
}

impl NodeLifecycle {
    /// With upstream's time for a new node.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        NodeLifecycle { grace, startup_grace: Duration::from_secs(60) }
    }
}

/// A node that renews its lease is heard from, whatever time it writes.
fn renewed(delta: &Delta<Lease>, _: &Caches, sink: &mut KeySink) {
    let Some(l) = delta.latest().filter(|l| &*l.metadata.namespace == LEASE_NAMESPACE) else { return };
    let time = |l: &Option<Arc<Lease>>| l.as_ref().map(|l| l.spec.renew_time);
    if time(&delta.old) != time(&delta.new) {
        sink.add(Key::new("", &l.metadata.name));
    }
}

fn became_ready(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    let Some(p) = delta.new.as_ref().filter(|p| p.ready()) else { return };
    let node = caches.kind::<Node>().get("", &p.spec.node_name);
    if node.is_some_and(|n| n.ready_status() == "Unknown") {
        sink.add(Key::new("", &p.spec.node_name));
    }
}

/// The zone of a node that is not ready and whose pods have not been told to leave.
fn zone(node: &Node, caches: &Caches) -> Zone {
    let (nodes, name) = (caches.kind::<Node>(), node.zone());
    let added = |n: &Arc<Node>| {
        let taints = n.spec.taints.iter().filter(|t| &*t.effect == "NoExecute");
        taints.filter(|t| Node::says_not_ready(&t.key)).filter_map(|t| t.time_added).max()
    };
    let me = &node.metadata.name;
    Zone {
        nodes: nodes.count_by_index(BY_ZONE, &name),
        not_ready: nodes.count_by_index(NOT_READY_BY_ZONE, &name),
        taints: nodes.by_index(EMPTIED_BY_ZONE, &name).filter_map(added).collect(),
        ahead: nodes.by_index(WAITING_BY_ZONE, &name).take_while(|n| n.metadata.name != *me).count(),
    }
}

impl Controller for NodeLifecycle {
    type State = State;
    type Memory = Seen;

    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Node>();
        i.on::<Lease>(renewed);
        i.on::<Pod>(became_ready);
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let nodes = caches.kind::<Node>();
        let node = nodes.by_key(key).filter(|n| !n.metadata.deleting())?.clone();
        let lease = caches.kind::<Lease>().get(LEASE_NAMESPACE, &key.name);
        let beat = find(&node.status.conditions, "Ready").and_then(|c| {
            // What this controller wrote itself is no sign of life.
            c.last_heartbeat_time.filter(|_| &*c.status != "Unknown")
        });
        let pods = caches.kind::<Pod>().by_index(pod::BY_NODE, &key.name);
        let silent = node.ready_status() == "Unknown";
        Some(State {
            signs: Signs { renewed: lease.and_then(|l| l.spec.renew_time), beat },
            ready_pods: pods.take_while(|_| silent).filter(|p| p.ready()).cloned().collect(),
            zone: if node.empties().is_some() && !node.emptied() {
                zone(&node, caches)
            } else {
                Zone::default()
            },
            some_ready: nodes.count_by_index(READY, "") > 0,
            node,
        })
    }

    fn reconcile(&self, state: &State, seen: &mut Seen, now: Timestamp) -> Plan {
        let n = &state.node;
        let grace = if n.ready_status().is_empty() { self.startup_grace } else { self.grace };
        let period = grace / 4;
        let silent = seen.look(state, now, period * 2);
        let alive = seen.alive(grace);
        let mut plan = Plan::default();
        if silent > grace {
            if let Some(action) = health::silence(n, now) {
                plan.events.extend(health::event(n));
                plan.step(vec![action]);
                return plan;
            }
        } else {
            plan.requeue_by(time::after(now, period.min(grace - silent + Duration::from_millis(100))));
        }
        let taints = taints::wrong(state, now, &mut plan);
        plan.step(settle(n, labels::wrong(n), taints).into_iter().collect());
        // An agent that is heard again will say so of its node too, and of its pods it does already: nobody must write
        // against it, as fast as both can.
        if n.ready_status() == "Unknown" && !alive {
            plan.always(state.ready_pods.iter().map(|p| not_ready(p, now)).collect());
        }
        plan
    }
}

/// Plans labels and taints in one patch: of two, the first would take away the revision that the second is for.
fn settle(n: &Node, labels: Map<String, Value>, taints: Option<Vec<Taint>>) -> Option<Action> {
    let m = &n.metadata;
    let mut body = json!({"metadata": {"uid": m.uid}});
    if !labels.is_empty() {
        body["metadata"]["labels"] = labels.into();
    } else if taints.is_none() {
        return None;
    }
    if let Some(taints) = taints {
        body["metadata"]["resourceVersion"] = m.resource_version.to_string().into();
        body["spec"]["taints"] = if taints.is_empty() { Value::Null } else { json!(taints) };
    }
    Some(Action::merge_patch(NODES, &m.key(), "", &body).tolerate(&["NotFound"]))
}

// k8s: pkg/controller/util/node/controller_utils.go MarkPodsNotReady
fn not_ready(p: &Pod, now: Timestamp) -> Action {
    let body = json!({
        "metadata": {"uid": p.metadata.uid},
        "status": {"conditions": [
            {"type": "Ready", "status": "False", "lastTransitionTime": time::rfc3339(now)},
        ]},
    });
    let about = ObjectReference::to("v1", "Pod", &p.metadata);
    Action::strategic_patch(PODS, &p.metadata.key(), "status", &body)
        .on_ok(EventRecord::warning(about, "NodeNotReady", "Node is not ready"))
        .tolerate(&["NotFound"])
}

#[cfg(test)]
mod tests;

//! What a node's conditions say when it has gone silent.

use jiff::Timestamp;
use reconcile::{Action, EventRecord, ObjectReference, time};
use serde_json::{Value, json};

use crate::core::condition::find;
use crate::core::node::{NODES, Node};

const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Plans all conditions that the node reports itself to be `Unknown`; `None` when they are.
// k8s: node_lifecycle_controller.go tryUpdateNodeHealth
pub(crate) fn silence(n: &Node, now: Timestamp) -> Option<Action> {
    let unknown = |kind: &&str| -> Option<Value> {
        let (reason, message, heartbeat) = match find(&n.status.conditions, kind) {
            Some(c) if &*c.status == "Unknown" => return None,
            Some(c) => ("NodeStatusUnknown", "Kubelet stopped posting node status.", c.last_heartbeat_time),
            None => {
                let created = n.metadata.creation_timestamp;
                ("NodeStatusNeverUpdated", "Kubelet never posted node status.", created)
            }
        };
        Some(json!({
            "type": kind, "status": "Unknown", "reason": reason, "message": message,
            "lastHeartbeatTime": heartbeat.map(time::rfc3339), "lastTransitionTime": time::rfc3339(now),
        }))
    };
    let conditions: Vec<Value> = REPORTED.iter().filter_map(unknown).collect();
    if conditions.is_empty() {
        return None;
    }
    let m = &n.metadata;
    let body = json!({
        "metadata": {"uid": m.uid, "resourceVersion": m.resource_version.to_string()},
        "status": {"conditions": conditions},
    });
    Some(Action::strategic_patch(NODES, &m.key(), "status", &body))
}

/// The event for a node that was ready until now.
pub(crate) fn event(n: &Node) -> Option<EventRecord> {
    let was_ready = n.ready_status() == "True";
    let mut about = ObjectReference::to("v1", "Node", &n.metadata);
    about.resource_version.clear();
    was_ready.then(|| {
        let message = format!("Node {} status is now: NodeNotReady", n.metadata.name);
        EventRecord::normal(about, "NodeNotReady", message)
    })
}

//! The taints that follow from a node's conditions.
// k8s: node_lifecycle_controller.go doNoScheduleTaintingPass, processTaintBaseEviction

use jiff::Timestamp;
use reconcile::{Action, Plan};
use serde_json::{Value, json};

use super::state::State;
use super::zones;
use crate::core::condition::find;
use crate::core::node::{NODES, NOT_READY, Taint, UNREACHABLE};

const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Condition, the status that taints, the taint.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// The taints that this controller answers for.
fn managed(t: &Taint) -> bool {
    match &*t.effect {
        "NoSchedule" => *t.key == *UNSCHEDULABLE || BY_CONDITION.iter().any(|(_, _, key)| *t.key == **key),
        "NoExecute" => *t.key == *NOT_READY || *t.key == *UNREACHABLE,
        _ => false,
    }
}

/// Plans the node's taints.
pub(crate) fn settle(state: &State, now: Timestamp, plan: &mut Plan) {
    let n = &state.node;
    let mut wanted: Vec<(&str, &str)> = BY_CONDITION
        .iter()
        .filter(|(c, status, _)| find(&n.status.conditions, c).is_some_and(|c| *c.status == **status))
        .map(|(_, _, key)| (*key, "NoSchedule"))
        .collect();
    if n.spec.unschedulable {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    if let Some(key) = n.empties() {
        // Pods that leave already, for the other reason, must not be called back in between.
        if n.emptied() {
            wanted.push((key, "NoExecute"));
        } else {
            match zones::next_taint(state, now) {
                zones::Next::Now => wanted.push((key, "NoExecute")),
                zones::Next::At(at) => plan.requeue_by(at),
                zones::Next::Never => {}
            }
        }
    }
    let kept = |t: &&Taint| !managed(t) || wanted.contains(&(&*t.key, &*t.effect));
    let mut taints: Vec<Taint> = n.spec.taints.iter().filter(kept).cloned().collect();
    for (key, effect) in wanted {
        if !n.tainted(key, effect) {
            let time_added = Some(reconcile::time::whole_seconds(now));
            taints.push(Taint { key: key.into(), value: "".into(), effect: effect.into(), time_added });
        }
    }
    if taints == n.spec.taints {
        return;
    }
    let m = &n.metadata;
    let body = json!({
        "metadata": {"uid": m.uid, "resourceVersion": m.resource_version.to_string()},
        "spec": {"taints": if taints.is_empty() { Value::Null } else { json!(taints) }},
    });
    plan.step(vec![Action::merge_patch(NODES, &m.key(), "", &body).tolerate(&["NotFound"])]);
}

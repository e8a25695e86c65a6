//! The taints that follow from a node's conditions.
// k8s: node_lifecycle_controller.go doNoScheduleTaintingPass, processTaintBaseEviction

use jiff::Timestamp;
use reconcile::{Plan, time};

use super::state::State;
use super::zones;
use crate::core::condition::find;
use crate::core::node::{NOT_READY, Taint, UNREACHABLE};

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

/// The node's taints as they must be; `None` when they are. Plans when to look again.
pub(crate) fn wrong(state: &State, now: Timestamp, plan: &mut Plan) -> Option<Vec<Taint>> {
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
        // How the other nodes are decides too, and nobody tells when that changes.
        plan.requeue_by(time::after(now, zones::INTERVAL));
        match zones::next_taint(state, now) {
            zones::Next::Now => wanted.push((key, "NoExecute")),
            zones::Next::At(at) => plan.requeue_by(at),
            zones::Next::NotNow => {}
        }
    }
    let kept = |t: &&Taint| !managed(t) || wanted.contains(&(&*t.key, &*t.effect));
    let mut taints: Vec<Taint> = n.spec.taints.iter().filter(kept).cloned().collect();
    for (key, effect) in wanted {
        if !n.tainted(key, effect) {
            let time_added = Some(time::whole_seconds(now));
            taints.push(Taint { key: key.into(), value: "".into(), effect: effect.into(), time_added });
        }
    }
    (taints != n.spec.taints).then_some(taints)
}

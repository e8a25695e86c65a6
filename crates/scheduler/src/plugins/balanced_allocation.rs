//! Prefers nodes where CPU and memory would be used to the same degree.
// k8s: pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go

use crate::framework::{ClusterEvent, MAX_SCORE, Plugin, State};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub struct BalancedAllocation;

/// Parts in a thousand, so that the arithmetic stays whole.
fn fraction(used: i64, have: i64) -> i64 {
    if have <= 0 { 1000 } else { (used.saturating_mul(1000) / have).clamp(0, 1000) }
}

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn pre_score(&self, pod: &PodInfo, _snapshot: &Snapshot, _feasible: &[usize]) -> Option<State> {
        // A best-effort pod changes nothing about the balance.
        let asks = pod.requests.milli_cpu > 0 || pod.requests.memory > 0;
        asks.then(|| Box::new(()) as State)
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, _state: &State) -> i64 {
        let cpu = fraction(node.requested.milli_cpu + pod.requests.milli_cpu, node.allocatable.milli_cpu);
        let memory = fraction(node.requested.memory + pod.requests.memory, node.allocatable.memory);
        // With two resources the standard deviation is half the distance.
        (2000 - (cpu - memory).abs()) * MAX_SCORE / 2000
    }

    fn helped_by(&self, _event: ClusterEvent) -> bool {
        false
    }
}

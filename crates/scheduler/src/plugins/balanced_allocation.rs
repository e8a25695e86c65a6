//! Prefers nodes where the pod brings CPU and memory closer to being used to the same degree.
// k8s: pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go

use crate::framework::{ClusterEvent, MAX_SCORE, Plugin};
use crate::pod::Needs;
use crate::snapshot::NodeInfo;

pub struct BalancedAllocation;

/// How even the use of both is, of 0..=100. What a node does not have at all does not count.
fn evenness(cpu: (i64, i64), memory: (i64, i64)) -> i64 {
    let part = |(used, have): (i64, i64)| (used as f64 / have as f64).min(1.0);
    // With two resources the standard deviation is half the distance.
    let deviation = if cpu.1 == 0 || memory.1 == 0 { 0.0 } else { ((part(cpu) - part(memory)) / 2.0).abs() };
    ((1.0 - deviation) * MAX_SCORE as f64) as i64
}

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn scores(&self, needs: &Needs) -> bool {
        // A best-effort pod changes nothing about the balance.
        needs.requests.milli_cpu > 0 || needs.requests.memory > 0
    }

    fn score(&self, needs: &Needs, node: &NodeInfo) -> i64 {
        let (have, used, more) = (&node.allocatable, &node.requested, &needs.requests);
        let with = evenness(
            (used.milli_cpu + more.milli_cpu, have.milli_cpu),
            (used.memory + more.memory, have.memory),
        );
        let without = evenness((used.milli_cpu, have.milli_cpu), (used.memory, have.memory));
        MAX_SCORE / 2 + (MAX_SCORE / 2 + with - without) / 2
    }

    fn helped_by(&self, _event: ClusterEvent) -> bool {
        false
    }
}

//! What the pod asks for must be left on the node; nodes with more left over are better (LeastAllocated).
// k8s: pkg/scheduler/framework/plugins/noderesources/fit.go, least_allocated.go

use std::borrow::Cow;

use crate::framework::{ClusterEvent, MAX_SCORE, Plugin, Rejection, State};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub struct NodeResourcesFit;

const NAME: &str = "NodeResourcesFit";

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pre_filter(&self, _pod: &PodInfo, _snapshot: &Snapshot) -> Option<State> {
        Some(Box::new(()))
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, _state: &State) -> Result<(), Rejection> {
        let (want, have, used) = (&pod.requests, &node.allocatable, &node.requested);
        let mut reasons: Vec<Cow<'static, str>> = Vec::new();
        let mut unresolvable = false;
        let mut lacks = |what: Cow<'static, str>, want: i64, have: i64, used: i64| {
            if want > 0 && want > have - used {
                reasons.push(what);
                unresolvable |= want > have;
            }
        };
        lacks("Insufficient cpu".into(), want.milli_cpu, have.milli_cpu, used.milli_cpu);
        lacks("Insufficient memory".into(), want.memory, have.memory, used.memory);
        lacks(
            "Insufficient ephemeral-storage".into(),
            want.ephemeral_storage,
            have.ephemeral_storage,
            used.ephemeral_storage,
        );
        for (name, amount) in &want.others {
            lacks(format!("Insufficient {name}").into(), *amount, have.other(name), used.other(name));
        }
        if node.pods.len() + 1 > node.max_pods {
            reasons.insert(0, "Too many pods".into());
        }
        let mut reasons = reasons.into_iter();
        match reasons.next() {
            None => Ok(()),
            Some(reason) => Err(Rejection { plugin: NAME, reason, more: reasons.collect(), unresolvable }),
        }
    }

    fn weight(&self) -> i64 {
        1
    }

    fn pre_score(&self, _pod: &PodInfo, _snapshot: &Snapshot, _feasible: &[usize]) -> Option<State> {
        Some(Box::new(()))
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, _state: &State) -> i64 {
        let free = |have: i64, used: i64| {
            if have == 0 || used > have { 0 } else { (have - used) * MAX_SCORE / have }
        };
        let cpu = free(node.allocatable.milli_cpu, node.filled.0 + pod.filled.0);
        let memory = free(node.allocatable.memory, node.filled.1 + pod.filled.1);
        i64::midpoint(cpu, memory)
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeAllocatable | ClusterEvent::PodRemoved)
    }
}

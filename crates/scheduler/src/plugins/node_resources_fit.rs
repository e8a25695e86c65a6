//! What the pod asks for must be left on the node; nodes with more left over are better (LeastAllocated).
// k8s: pkg/scheduler/framework/plugins/noderesources/fit.go, least_allocated.go

use std::borrow::Cow;

use crate::framework::{ClusterEvent, MAX_SCORE, Plugin, Rejection};
use crate::pod::Needs;
use crate::snapshot::NodeInfo;

pub struct NodeResourcesFit;

const NAME: &str = "NodeResourcesFit";

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn filter(&self, needs: &Needs, node: &NodeInfo) -> Result<(), Rejection> {
        let (want, have, used) = (&needs.requests, &node.allocatable, &node.requested);
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

    fn scores(&self, _needs: &Needs) -> bool {
        true
    }

    fn score(&self, needs: &Needs, node: &NodeInfo) -> i64 {
        let free = |have: i64, used: i64| if used > have { 0 } else { (have - used) * MAX_SCORE / have };
        let parts = [
            (node.allocatable.milli_cpu, node.filled.0 + needs.filled.0),
            (node.allocatable.memory, node.filled.1 + needs.filled.1),
        ];
        // What a node does not have at all does not count.
        let known = parts.iter().filter(|(have, _)| *have > 0);
        let sum: i64 = known.clone().map(|(have, used)| free(*have, *used)).sum();
        sum / i64::try_from(known.count().max(1)).unwrap_or(1)
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeAllocatable | ClusterEvent::PodRemoved)
    }
}

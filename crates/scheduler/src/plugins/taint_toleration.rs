//! Keeps pods off nodes whose taints they do not tolerate, and prefers nodes with fewer soft taints.
// k8s: pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go

use meta::placement;

use crate::framework::{ClusterEvent, Plugin, Rejection, normalize_by_max};
use crate::model::{Taint, Toleration};
use crate::pod::Needs;
use crate::snapshot::NodeInfo;

pub struct TaintToleration;

const NAME: &str = "TaintToleration";

/// Whether one of the tolerations tolerates the taint.
#[must_use]
pub fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    let taint = placement::Taint { key: &taint.key, value: &taint.value, effect: &taint.effect };
    tolerations.iter().any(|t| {
        let toleration =
            placement::Toleration { key: &t.key, operator: &t.operator, value: &t.value, effect: &t.effect };
        placement::tolerates(toleration, taint)
    })
}

fn taints(node: &NodeInfo) -> &[Taint] {
    node.node.as_ref().map_or(&[], |n| &n.spec.taints)
}

/// The first taint that keeps the pod off the node.
#[must_use]
pub fn untolerated<'a>(needs: &Needs, node: &'a NodeInfo) -> Option<&'a Taint> {
    let hard = |t: &&Taint| matches!(&*t.effect, "NoSchedule" | "NoExecute");
    taints(node).iter().filter(hard).find(|t| !tolerated(t, &needs.tolerations))
}

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        NAME
    }

    fn filter(&self, needs: &Needs, node: &NodeInfo) -> Result<(), Rejection> {
        match untolerated(needs, node) {
            None => Ok(()),
            Some(_) => Err(Rejection::unresolvable(NAME, "node(s) had untolerated taint(s)")),
        }
    }

    fn weight(&self) -> i64 {
        3
    }

    fn scores(&self, _needs: &Needs) -> bool {
        true
    }

    /// The soft taints that are not tolerated; `normalize` turns it round.
    fn score(&self, needs: &Needs, node: &NodeInfo) -> i64 {
        let soft = taints(node).iter().filter(|t| &*t.effect == "PreferNoSchedule");
        let hurts = |t: &&Taint| !tolerated(t, &needs.tolerations);
        i64::try_from(soft.filter(hurts).count()).unwrap_or(i64::MAX)
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_max(scores, true);
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeTaints)
    }
}

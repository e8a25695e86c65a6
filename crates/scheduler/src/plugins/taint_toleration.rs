//! Keeps pods off nodes whose taints they do not tolerate, and prefers nodes with fewer soft taints.
// k8s: pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go

use crate::framework::{ClusterEvent, Plugin, Rejection, State, normalize_by_max};
use crate::model::{Taint, Toleration};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub struct TaintToleration;

const NAME: &str = "TaintToleration";

/// Whether one of the tolerations tolerates the taint.
pub fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|t| {
        (t.effect.is_empty() || t.effect == taint.effect)
            && (t.key.is_empty() || t.key == taint.key)
            && match &*t.operator {
                "" | "Equal" => t.value == taint.value && !t.key.is_empty(),
                "Exists" => true,
                "Lt" => compare(&taint.value, &t.value, |a, b| a < b),
                "Gt" => compare(&taint.value, &t.value, |a, b| a > b),
                _ => false,
            }
    })
}

fn compare(a: &str, b: &str, how: fn(i64, i64) -> bool) -> bool {
    matches!((a.parse(), b.parse()), (Ok(a), Ok(b)) if how(a, b))
}

fn taints(node: &NodeInfo) -> &[Taint] {
    node.node.as_ref().map_or(&[], |n| &n.spec.taints)
}

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pre_filter(&self, _pod: &PodInfo, _snapshot: &Snapshot) -> Option<State> {
        Some(Box::new(()))
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, _state: &State) -> Result<(), Rejection> {
        let hard = |t: &&Taint| matches!(&*t.effect, "NoSchedule" | "NoExecute");
        match taints(node).iter().filter(hard).find(|t| !tolerated(t, &pod.tolerations)) {
            None => Ok(()),
            Some(t) => Err(Rejection::unresolvable(
                NAME,
                format!("node(s) had untolerated taint {{{}: {}}}", t.key, t.value),
            )),
        }
    }

    fn weight(&self) -> i64 {
        3
    }

    fn pre_score(&self, _pod: &PodInfo, snapshot: &Snapshot, feasible: &[usize]) -> Option<State> {
        let soft = |at: &usize| taints(&snapshot.nodes[*at]).iter().any(|t| &*t.effect == "PreferNoSchedule");
        feasible.iter().any(soft).then(|| Box::new(()) as State)
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, _state: &State) -> i64 {
        let soft = taints(node).iter().filter(|t| &*t.effect == "PreferNoSchedule");
        i64::try_from(soft.filter(|t| !tolerated(t, &pod.tolerations)).count()).unwrap_or(i64::MAX)
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_max(scores, true);
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeTaints)
    }
}

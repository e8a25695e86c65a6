//! Node selectors and node affinity.
// k8s: pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go

use crate::framework::{ClusterEvent, Plugin, Rejection, State, normalize_by_max};
use crate::model::{NodeRequirement, NodeTerm};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub struct NodeAffinity;

const NAME: &str = "NodeAffinity";

fn requirement(r: &NodeRequirement, value: Option<&str>) -> bool {
    let listed = |v: &str| r.values.iter().any(|x| **x == *v);
    let number = |v: &str| v.parse::<i64>().ok();
    let bound = || r.values.first().and_then(|v| number(v));
    match &*r.operator {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => matches!((value.and_then(number), bound()), (Some(v), Some(b)) if v > b),
        "Lt" => matches!((value.and_then(number), bound()), (Some(v), Some(b)) if v < b),
        _ => false,
    }
}

/// A term without any requirement matches no node.
fn term(t: &NodeTerm, node: &NodeInfo) -> bool {
    if t.match_expressions.is_empty() && t.match_fields.is_empty() {
        return false;
    }
    t.match_expressions.iter().all(|r| requirement(r, node.label(&r.key)))
        && t.match_fields.iter().all(|r| &*r.key == "metadata.name" && requirement(r, Some(&node.name)))
}

/// Whether selector and required affinity allow the node.
pub fn allowed(pod: &PodInfo, node: &NodeInfo) -> bool {
    let selected = pod.node_selector.iter().all(|(k, v)| node.label(k) == Some(v));
    let required = pod.affinity.as_ref().and_then(|a| a.node_affinity.as_ref()?.required.as_ref());
    selected && required.is_none_or(|r| r.node_selector_terms.iter().any(|t| term(t, node)))
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pre_filter(&self, pod: &PodInfo, _snapshot: &Snapshot) -> Option<State> {
        let affinity = pod.affinity.as_ref().is_some_and(|a| a.node_affinity.is_some());
        (affinity || !pod.node_selector.is_empty()).then(|| Box::new(()) as State)
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, _state: &State) -> Result<(), Rejection> {
        if allowed(pod, node) {
            Ok(())
        } else {
            Err(Rejection::unresolvable(NAME, "node(s) didn't match Pod's node affinity/selector"))
        }
    }

    fn weight(&self) -> i64 {
        2
    }

    fn pre_score(&self, pod: &PodInfo, _snapshot: &Snapshot, _feasible: &[usize]) -> Option<State> {
        let preferred = &pod.affinity.as_ref()?.node_affinity.as_ref()?.preferred;
        (!preferred.is_empty()).then(|| Box::new(()) as State)
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, _state: &State) -> i64 {
        let affinity = pod.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let preferred = affinity.map_or(&[][..], |a| &a.preferred);
        preferred.iter().filter(|p| term(&p.preference, node)).map(|p| p.weight).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_max(scores, false);
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeLabels)
    }
}

//! Node selectors and node affinity.
// k8s: pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go

use std::collections::BTreeSet;

use crate::framework::{ClusterEvent, Plugin, Rejection, normalize_by_max};
use crate::model::{NodeRequirement, NodeTerm};
use crate::pod::Needs;
use crate::snapshot::NodeInfo;

pub struct NodeAffinity;

const NAME: &str = "NodeAffinity";

fn requirement(r: &NodeRequirement, value: Option<&str>) -> bool {
    meta::placement::meets(&r.operator, &r.values, value)
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
#[must_use]
pub fn allowed(needs: &Needs, node: &NodeInfo) -> bool {
    let selected = needs.node_selector.iter().all(|(k, v)| node.label(k) == Some(v));
    let required = needs.node_affinity.as_ref().and_then(|a| a.required.as_ref());
    selected && required.is_none_or(|r| r.node_selector_terms.iter().any(|t| term(t, node)))
}

/// The only nodes in question, when every term names its nodes; none when the names in all terms conflict.
// k8s: pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go PreFilter
#[must_use]
pub fn named(needs: &Needs) -> Option<BTreeSet<&str>> {
    let terms = &needs.node_affinity.as_ref()?.required.as_ref()?.node_selector_terms;
    let mut names = BTreeSet::new();
    for term in terms {
        let listed = term.match_fields.iter().filter(|r| &*r.key == "metadata.name" && &*r.operator == "In");
        let mut of_term: Option<BTreeSet<&str>> = None;
        for r in listed {
            let these: BTreeSet<&str> = r.values.iter().map(AsRef::as_ref).collect();
            of_term = Some(of_term.map_or(these.clone(), |before| &before & &these));
        }
        names.append(&mut of_term?);
    }
    (!terms.is_empty()).then_some(names)
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn filter(&self, needs: &Needs, node: &NodeInfo) -> Result<(), Rejection> {
        if allowed(needs, node) {
            Ok(())
        } else {
            Err(Rejection::unresolvable(NAME, "node(s) didn't match Pod's node affinity/selector"))
        }
    }

    fn weight(&self) -> i64 {
        2
    }

    fn scores(&self, needs: &Needs) -> bool {
        needs.node_affinity.as_ref().is_some_and(|a| !a.preferred.is_empty())
    }

    fn score(&self, needs: &Needs, node: &NodeInfo) -> i64 {
        let preferred = needs.node_affinity.as_ref().map_or(&[][..], |a| &a.preferred);
        preferred.iter().filter(|p| term(&p.preference, node)).map(|p| p.weight).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_max(scores, false);
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeLabels)
    }
}

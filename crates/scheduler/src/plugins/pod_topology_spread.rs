//! Topology spread constraints; for pods without any, a soft spread over nodes and zones among the pods of
//! the same owner (upstream derives the same defaults from Services and controllers).
// k8s: pkg/scheduler/framework/plugins/podtopologyspread/{filtering,scoring}.go

use std::collections::HashMap;
use std::sync::Arc;

use crate::framework::{ClusterEvent, MAX_SCORE, Plugin, Rejection, State};
use crate::model::SpreadConstraint;
use crate::plugins::node_affinity;
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, PerNode, Snapshot};

pub struct PodTopologySpread;

const NAME: &str = "PodTopologySpread";

/// Matching pods per domain for one constraint.
struct Counts {
    key: Box<str>,
    max_skew: i64,
    min_domains: i64,
    matches_self: bool,
    by_domain: HashMap<Box<str>, i64>,
}

struct Hard(Vec<Counts>);
struct Soft(Vec<Counts>);

fn matches(c: &SpreadConstraint, pod: &PodInfo, other: &PodInfo) -> bool {
    other.key.namespace == pod.key.namespace
        && !other.deleting
        && c.label_selector.as_ref().is_some_and(|s| s.matches(&other.labels))
        && c.match_label_keys.iter().all(|k| pod.labels.get(k).is_none_or(|v| other.labels.get(k) == Some(v)))
}

fn count(c: &SpreadConstraint, pod: &PodInfo, snapshot: &Snapshot) -> Counts {
    let mut by_domain: HashMap<Box<str>, i64> = HashMap::new();
    for node in snapshot.nodes.iter().filter(|n| n.node.is_some() && node_affinity::allowed(pod, n)) {
        let Some(domain) = node.label(&c.topology_key) else { continue };
        let found = node.pods.values().filter(|p| matches(c, pod, p)).count();
        *by_domain.entry(domain.into()).or_default() += i64::try_from(found).unwrap_or(i64::MAX);
    }
    Counts {
        key: c.topology_key.clone(),
        max_skew: c.max_skew,
        min_domains: c.min_domains.unwrap_or(1),
        matches_self: matches(c, pod, pod),
        by_domain,
    }
}

/// Pods of the same owner, for pods that say nothing about spreading: as two constraints over nodes (skew 3)
/// and zones (skew 5).
struct Siblings {
    on_node: Arc<PerNode>,
    /// By the number of the zone; `None` when no node in question is in it.
    in_zone: Vec<Option<u32>>,
    host_weight: f64,
    zone_weight: f64,
}

const HOST_SKEW: f64 = 3.0;
const ZONE_SKEW: f64 = 5.0;

/// Domains weigh by the logarithm of their number, as upstream.
fn weight(domains: usize) -> f64 {
    (domains as f64 + 2.0).ln()
}

fn siblings(pod: &PodInfo, snapshot: &Snapshot, feasible: &[usize]) -> Option<Siblings> {
    let on_node = snapshot.of_owner(&pod.owner)?;
    let mut hosts = 0;
    let mut in_zone = vec![None; snapshot.zones.len()];
    for at in feasible {
        let node = &snapshot.nodes[*at];
        hosts += usize::from(node.has_hostname);
        let Some(zone) = node.zone else { continue };
        let found = on_node.get(&node.slot).copied().unwrap_or(0);
        in_zone[zone] = Some(in_zone[zone].unwrap_or(0) + found);
    }
    let zone_weight = weight(in_zone.iter().flatten().count());
    Some(Siblings { on_node: Arc::clone(on_node), in_zone, host_weight: weight(hosts), zone_weight })
}

impl Siblings {
    fn score(&self, node: &NodeInfo) -> f64 {
        let mut score = 0.0;
        if node.has_hostname {
            let here = self.on_node.get(&node.slot).copied().unwrap_or(0);
            score += f64::from(here) * self.host_weight + (HOST_SKEW - 1.0);
        }
        if let Some(here) = node.zone.and_then(|zone| self.in_zone[zone]) {
            score += f64::from(here) * self.zone_weight + (ZONE_SKEW - 1.0);
        }
        score
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> Option<State> {
        let hard: Vec<Counts> = pod
            .spread
            .iter()
            .filter(|c| &*c.when_unsatisfiable != "ScheduleAnyway")
            .map(|c| count(c, pod, snapshot))
            .collect();
        (!hard.is_empty()).then(|| Box::new(Hard(hard)) as State)
    }

    fn filter(&self, _pod: &PodInfo, node: &NodeInfo, state: &State) -> Result<(), Rejection> {
        let Some(Hard(constraints)) = state.downcast_ref::<Hard>() else { return Ok(()) };
        for c in constraints {
            let Some(domain) = node.label(&c.key) else {
                return Err(Rejection::unresolvable(
                    NAME,
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                ));
            };
            let few = i64::try_from(c.by_domain.len()).unwrap_or(i64::MAX) < c.min_domains;
            let least = if few { 0 } else { c.by_domain.values().copied().min().unwrap_or(0) };
            let here = c.by_domain.get(domain).copied().unwrap_or(0);
            if here + i64::from(c.matches_self) - least > c.max_skew {
                return Err(Rejection::new(NAME, "node(s) didn't match pod topology spread constraints"));
            }
        }
        Ok(())
    }

    fn weight(&self) -> i64 {
        2
    }

    fn pre_score(&self, pod: &PodInfo, snapshot: &Snapshot, feasible: &[usize]) -> Option<State> {
        if pod.spread.is_empty() {
            return siblings(pod, snapshot, feasible).map(|s| Box::new(s) as State);
        }
        let soft: Vec<Counts> = pod
            .spread
            .iter()
            .filter(|c| &*c.when_unsatisfiable == "ScheduleAnyway")
            .map(|c| count(c, pod, snapshot))
            .collect();
        (!soft.is_empty()).then(|| Box::new(Soft(soft)) as State)
    }

    /// The more matching pods in the node's domains, the higher, in thousandths; `normalize` turns it round.
    fn score(&self, _pod: &PodInfo, node: &NodeInfo, state: &State) -> i64 {
        if let Some(siblings) = state.downcast_ref::<Siblings>() {
            return (siblings.score(node) * 1000.0) as i64;
        }
        let Some(Soft(constraints)) = state.downcast_ref::<Soft>() else { return 0 };
        let mut score = 0.0_f64;
        for c in constraints {
            if let Some(domain) = node.label(&c.key) {
                let here = c.by_domain.get(domain).copied().unwrap_or(0);
                score += here as f64 * weight(c.by_domain.len()) + (c.max_skew - 1) as f64;
            }
        }
        (score * 1000.0) as i64
    }

    fn normalize(&self, scores: &mut [i64]) {
        let (Some(min), Some(max)) = (scores.iter().copied().min(), scores.iter().copied().max()) else {
            return;
        };
        for s in scores {
            *s = if max == 0 { MAX_SCORE } else { MAX_SCORE * (max + min - *s) / max };
        }
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        !matches!(event, ClusterEvent::NodeAllocatable | ClusterEvent::NodeTaints)
    }
}

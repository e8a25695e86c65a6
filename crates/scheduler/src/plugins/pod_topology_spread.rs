//! Topology spread constraints; for pods without any, a soft spread over nodes and zones among the pods of
//! the same owner (upstream derives the same defaults from Services and controllers).
// k8s: pkg/scheduler/framework/plugins/podtopologyspread/{filtering,scoring}.go

use std::collections::{HashMap, HashSet};

use crate::framework::{ClusterEvent, MAX_SCORE, Plugin, Rejection, State};
use crate::model::SpreadConstraint;
use crate::plugins::node_affinity;
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub struct PodTopologySpread;

const NAME: &str = "PodTopologySpread";
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

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

/// Counts by owner for pods that say nothing about spreading.
fn defaults(pod: &PodInfo, snapshot: &Snapshot, feasible: &[usize]) -> Option<Soft> {
    let owned = snapshot.of_owner(&pod.owner)?;
    let mut hosts = HashMap::new();
    let mut zones: HashMap<Box<str>, i64> = HashMap::new();
    for at in feasible {
        let node = &snapshot.nodes[*at];
        let found = i64::from(owned.get(&node.name).copied().unwrap_or(0));
        if let Some(host) = node.label(HOSTNAME) {
            hosts.insert(Box::from(host), found);
        }
        if let Some(zone) = node.label(ZONE) {
            *zones.entry(zone.into()).or_default() += found;
        }
    }
    let of = |key: &str, max_skew, by_domain| Counts {
        key: key.into(),
        max_skew,
        min_domains: 1,
        matches_self: true,
        by_domain,
    };
    Some(Soft(vec![of(HOSTNAME, 3, hosts), of(ZONE, 5, zones)]))
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
            return defaults(pod, snapshot, feasible).map(|s| Box::new(s) as State);
        }
        let soft: Vec<Counts> = pod
            .spread
            .iter()
            .filter(|c| &*c.when_unsatisfiable == "ScheduleAnyway")
            .map(|c| count(c, pod, snapshot))
            .collect();
        (!soft.is_empty()).then(|| Box::new(Soft(soft)) as State)
    }

    /// The more matching pods in the node's domains, the higher; `normalize` turns it round. Domains weigh by the
    /// logarithm of their number, as upstream, in thousandths.
    fn score(&self, _pod: &PodInfo, node: &NodeInfo, state: &State) -> i64 {
        let Some(Soft(constraints)) = state.downcast_ref::<Soft>() else { return 0 };
        let mut score = 0.0_f64;
        for c in constraints {
            if let Some(domain) = node.label(&c.key) {
                let here = c.by_domain.get(domain).copied().unwrap_or(0);
                let weight = (c.by_domain.len() as f64 + 2.0).ln();
                score += here as f64 * weight + (c.max_skew - 1) as f64;
            }
        }
        (score * 1000.0) as i64
    }

    fn normalize(&self, scores: &mut [i64]) {
        let distinct: HashSet<i64> = scores.iter().copied().collect();
        let (Some(min), Some(max)) = (distinct.iter().min(), distinct.iter().max()) else { return };
        for s in scores {
            *s = if *max == 0 { MAX_SCORE } else { MAX_SCORE * (max + min - *s) / max };
        }
    }

    fn helped_by(&self, event: ClusterEvent) -> bool {
        !matches!(event, ClusterEvent::NodeAllocatable | ClusterEvent::NodeTaints)
    }
}

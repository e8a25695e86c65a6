//! Preemption: which pods of lower priority must go so that a pod fits, on the node where that costs least.
// k8s: pkg/scheduler/framework/preemption/preemption.go; plugins/defaultpreemption/default_preemption.go

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cycle::Cycle;
use crate::framework::{FitError, Rejection, Ties};
use crate::model::Budget;
use crate::pod::PodInfo;

const NAME: &str = "DefaultPreemption";
static NO_VICTIMS: Rejection = Rejection::unresolvable(NAME, "No preemption victims found for incoming pod");
static NO_HELP: Rejection = Rejection::unresolvable(NAME, "Preemption is not helpful for scheduling");

/// A node and the pods to take off it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub slot: usize,
    /// The most important first.
    pub victims: Vec<Arc<PodInfo>>,
    /// How many of them their disruption budgets protect.
    violations: usize,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    Found(Candidate),
    /// With the end of the message; the pod keeps the node that it is nominated to.
    NotEligible(&'static str),
    /// With the end of the message; no node is being emptied for the pod.
    Nothing(String),
}

/// So many candidates, or a tenth of the nodes in question if that is more, are enough to choose from.
// k8s: pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go calculateNumCandidates
const ENOUGH: usize = 100;

/// Looks for pods to take off a node. `victims` are those chosen for other pods before; `nominated` is the node that is
/// being emptied for the pod already.
pub fn preempt(
    cycle: &mut Cycle,
    error: &FitError,
    nominated: Option<usize>,
    chosen: &HashSet<Arc<str>>,
    budgets: &[Arc<Budget>],
    ties: &mut Ties,
) -> Outcome {
    if !cycle.pod.may_preempt {
        return Outcome::NotEligible("not eligible due to preemptionPolicy=Never.");
    }
    // Not when that node has become one that preemption cannot help on.
    if let Some(slot) = nominated.filter(|slot| error.resolvable.contains(slot)) {
        let leaving = |p: &PodInfo| p.deleting && (p.preempted || chosen.contains(&p.uid));
        let weaker = |p: &&Arc<PodInfo>| p.priority < cycle.pod.priority;
        if cycle.world.nodes[slot].pods.values().filter(weaker).any(|p| leaving(p)) {
            return Outcome::NotEligible("not eligible due to a terminating pod on the nominated node.");
        }
    }
    let mut why = FitError { nodes: error.nodes, ..FitError::default() };
    let mut left = error.nodes;
    if cycle.world.lowest.is_none_or(|lowest| lowest >= cycle.pod.priority) {
        left -= error.resolvable.len();
        why.count_reasons(&NO_VICTIMS, error.resolvable.len());
    } else if let Some(best) = best(cycle, error, budgets, ties, &mut why, &mut left) {
        return Outcome::Found(best);
    }
    why.count_reasons(&NO_HELP, left);
    why.reasons.retain(|_, n| *n > 0);
    Outcome::Nothing(why.message())
}

fn best(
    cycle: &mut Cycle,
    error: &FitError,
    budgets: &[Arc<Budget>],
    ties: &mut Ties,
    why: &mut FitError,
    left: &mut usize,
) -> Option<Candidate> {
    let nodes = &error.resolvable;
    let enough = ENOUGH.max(nodes.len() / 10);
    let offset = ties.below(nodes.len());
    let (mut peaceful, mut found) = (0, 0);
    let mut best: Option<Candidate> = None;
    for slot in nodes[offset..].iter().chain(&nodes[..offset]) {
        match victims(cycle, *slot, budgets) {
            Err(rejection) => {
                *left -= 1;
                why.count_reasons(&rejection, 1);
            }
            Ok(candidate) => {
                found += 1;
                peaceful += usize::from(candidate.violations == 0);
                if best.as_ref().is_none_or(|b| cost(&candidate) < cost(b)) {
                    best = Some(candidate);
                }
                if peaceful > 0 && found >= enough {
                    break;
                }
            }
        }
    }
    best
}

/// Fewest protected victims first, then the lowest top priority, the lowest sum of priorities, the fewest victims, and
/// the most lately begun among the top ones.
// k8s: pkg/scheduler/framework/preemption/preemption.go pickOneNodeForPreemption
fn cost(c: &Candidate) -> (usize, i32, i64, usize, Reverse<Timestamp>) {
    let top = c.victims.iter().map(|v| v.priority).max().unwrap_or(i32::MIN);
    let sum = c.victims.iter().map(|v| i64::from(v.priority) + i64::from(i32::MAX) + 1).sum();
    let begun = c.victims.iter().filter(|v| v.priority == top).map(|v| v.started).min();
    (c.violations, top, sum, c.victims.len(), Reverse(begun.unwrap_or(Timestamp::MIN)))
}

/// The more important first: by priority, then by how long it runs.
fn rank(p: &PodInfo) -> (Reverse<i32>, Timestamp, Timestamp, Arc<str>) {
    (Reverse(p.priority), p.started, p.created, p.uid.clone())
}

/// The pods that must go from a node, as few and as unimportant as can be.
// k8s: pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go SelectVictimsOnNode
fn victims(cycle: &mut Cycle, slot: usize, budgets: &[Arc<Budget>]) -> Result<Candidate, Rejection> {
    let priority = cycle.pod.priority;
    let pods = cycle.world.nodes[slot].pods.values();
    let mut lower: Vec<Arc<PodInfo>> = pods.filter(|p| p.priority < priority).cloned().collect();
    if lower.is_empty() {
        return Err(NO_VICTIMS.clone());
    }
    let mut node = cycle.world.nodes[slot].clone();
    lower.sort_by_cached_key(|p| rank(p));
    for p in &lower {
        node.remove(&p.uid);
        cycle.assume(p, slot, -1);
    }
    if let Err(rejection) = cycle.fits(slot, &node) {
        lower.iter().for_each(|p| cycle.assume(p, slot, 1));
        return Err(rejection);
    }
    let (protected, others) = by_budget(&lower, budgets);
    let mut victims = Vec::new();
    let mut violations = 0;
    let protected = protected.into_iter().map(|p| (p, 1));
    for (p, violation) in protected.chain(others.into_iter().map(|p| (p, 0))) {
        node.add(p.clone());
        cycle.assume(&p, slot, 1);
        if cycle.fits(slot, &node).is_err() {
            node.remove(&p.uid);
            cycle.assume(&p, slot, -1);
            violations += violation;
            victims.push(p);
        }
    }
    victims.iter().for_each(|p| cycle.assume(p, slot, 1));
    victims.sort_by_cached_key(|p| rank(p));
    if victims.is_empty() {
        // Nothing had to go after all: as upstream, no candidate.
        return Err(NO_VICTIMS.clone());
    }
    Ok(Candidate { slot, victims, violations })
}

/// The pods whose disruption budgets would be broken, and the others, each in the order given.
// k8s: pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go filterPodsWithPDBViolation
fn by_budget(pods: &[Arc<PodInfo>], budgets: &[Arc<Budget>]) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut allowed: Vec<i32> = budgets.iter().map(|b| b.status.disruptions_allowed).collect();
    pods.iter().cloned().partition(|p| {
        let mut broken = false;
        for (budget, allowed) in budgets.iter().zip(&mut allowed) {
            let protects = budget.metadata.namespace == p.key.namespace
                && !p.identity.labels.is_empty()
                && budget
                    .spec
                    .selector
                    .as_ref()
                    .is_some_and(|s| !s.is_empty() && s.matches(&p.identity.labels))
                && !budget.status.disrupted_pods.contains_key(&p.key.name);
            if protects {
                *allowed = allowed.saturating_sub(1);
                broken |= *allowed < 0;
            }
        }
        broken
    })
}

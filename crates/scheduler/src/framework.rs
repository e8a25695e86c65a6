//! The extension points that plugins fill, and the cycle that runs them for one pod.
// k8s: staging/src/k8s.io/kube-scheduler/framework/interface.go; pkg/scheduler/schedule_one.go

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::plugins;
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

/// The best score of a node.
pub const MAX_SCORE: i64 = 100;
const MIN_FEASIBLE_NODES: usize = 100;
const MIN_PERCENT: usize = 5;

/// Why a node will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub plugin: &'static str,
    /// As the FitError counts them.
    pub reason: Cow<'static, str>,
    /// Further ones; seldom any, so that a rejection mostly takes no memory.
    pub more: Vec<Cow<'static, str>>,
    /// Taking pods off the node cannot help.
    pub unresolvable: bool,
}

impl Rejection {
    /// A rejection that preemption might resolve.
    #[must_use]
    pub fn new(plugin: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Rejection { plugin, reason: reason.into(), more: Vec::new(), unresolvable: false }
    }

    /// A rejection that preemption cannot resolve.
    #[must_use]
    pub fn unresolvable(plugin: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Rejection { unresolvable: true, ..Rejection::new(plugin, reason) }
    }

    /// All reasons.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.reason).chain(&self.more).map(AsRef::as_ref)
    }
}

/// What a plugin worked out for one pod before it looks at nodes.
pub type State = Box<dyn Any + Send>;

/// What changed in the cluster, for deciding which waiting pods may now fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    NodeAdded,
    NodeAllocatable,
    NodeLabels,
    NodeTaints,
    PodRemoved,
    PodAdded,
}

/// One plugin. Every method has a default that takes no part.
pub trait Plugin: Sync {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// Works out what `filter` needs; `None` skips the filter for this pod.
    fn pre_filter(&self, _pod: &PodInfo, _snapshot: &Snapshot) -> Option<State> {
        None
    }

    /// Whether the pod may go to the node.
    ///
    /// # Errors
    /// Why not.
    fn filter(&self, _pod: &PodInfo, _node: &NodeInfo, _state: &State) -> Result<(), Rejection> {
        Ok(())
    }

    /// Weight of the scores; 0 when the plugin does not score.
    fn weight(&self) -> i64 {
        0
    }

    /// Works out what `score` needs; `None` skips scoring for this pod.
    fn pre_score(&self, _pod: &PodInfo, _snapshot: &Snapshot, _feasible: &[usize]) -> Option<State> {
        None
    }

    /// A raw score.
    fn score(&self, _pod: &PodInfo, _node: &NodeInfo, _state: &State) -> i64 {
        0
    }

    /// Brings raw scores to 0..=100.
    fn normalize(&self, _scores: &mut [i64]) {}

    /// Whether the event may make room for a pod that this plugin has rejected.
    fn helped_by(&self, event: ClusterEvent) -> bool;
}

/// Why no node will do.
#[derive(Clone, Debug, Default)]
pub struct FitError {
    pub nodes: usize,
    /// With the index of the node, in the order of the indexes.
    pub rejections: Vec<(usize, Rejection)>,
    /// Plugins that rejected.
    pub plugins: Vec<&'static str>,
}

impl FitError {
    /// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) ...`.
    // k8s: pkg/scheduler/framework/types.go FitError.Error
    #[must_use]
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in self.rejections.iter().flat_map(|(_, r)| r.reasons()) {
            *counts.entry(reason).or_default() += 1;
        }
        let mut parts: Vec<String> = counts.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        parts.sort();
        format!("0/{} nodes are available: {}.", self.nodes, parts.join(", "))
    }
}

/// A small seeded generator for breaking ties.
#[derive(Clone, Debug)]
pub struct Ties(pub u64);

impl Ties {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }
}

/// The filters that take part for a pod, with their state.
pub struct Filters(Vec<(&'static dyn Plugin, State)>);

impl Filters {
    /// Runs the pre-filters.
    #[must_use]
    pub fn new(pod: &PodInfo, snapshot: &Snapshot) -> Self {
        Filters(plugins::ALL.iter().filter_map(|p| Some((*p, p.pre_filter(pod, snapshot)?))).collect())
    }

    /// Whether the pod may go to the node.
    ///
    /// # Errors
    /// The first rejection.
    pub fn check(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        self.0.iter().try_for_each(|(plugin, state)| plugin.filter(pod, node, state))
    }
}

/// How many feasible nodes are enough to choose from.
// k8s: pkg/scheduler/schedule_one.go numFeasibleNodesToFind
fn enough(nodes: usize) -> usize {
    if nodes < MIN_FEASIBLE_NODES {
        return nodes;
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(MIN_PERCENT);
    (nodes * percent / 100).max(MIN_FEASIBLE_NODES)
}

/// Finds the best node for a pod. `start` is where the search begins and is moved on, so that all nodes get
/// their turn when not all are looked at.
///
/// # Errors
/// Why no node will do.
pub fn schedule(
    pod: &PodInfo,
    snapshot: &Snapshot,
    nominated: &BTreeMap<Box<str>, Vec<std::sync::Arc<PodInfo>>>,
    start: &mut usize,
    ties: &mut Ties,
) -> Result<usize, FitError> {
    let filters = Filters::new(pod, snapshot);
    let total = snapshot.nodes.len();
    let wanted = enough(total);
    let mut feasible = Vec::new();
    let mut error = FitError::default();
    let mut looked = 0;
    for step in 0..total {
        let at = (*start + step) % total;
        let node = &snapshot.nodes[at];
        looked += 1;
        if node.node.is_none() {
            continue;
        }
        error.nodes += 1;
        match check(&filters, pod, node, nominated) {
            Ok(()) => feasible.push(at),
            Err(r) => {
                if !error.plugins.contains(&r.plugin) {
                    error.plugins.push(r.plugin);
                }
                error.rejections.push((at, r));
            }
        }
        if feasible.len() >= wanted {
            break;
        }
    }
    if total > 0 {
        *start = (*start + looked) % total;
    }
    match feasible.as_slice() {
        [] => {
            error.rejections.sort_unstable_by_key(|(at, _)| *at);
            Err(error)
        }
        [one] => Ok(*one),
        many => Ok(best(pod, snapshot, many, ties)),
    }
}

/// A node must also fit with the pods of at least equal priority that are nominated to it.
fn check(
    filters: &Filters,
    pod: &PodInfo,
    node: &NodeInfo,
    nominated: &BTreeMap<Box<str>, Vec<std::sync::Arc<PodInfo>>>,
) -> Result<(), Rejection> {
    filters.check(pod, node)?;
    let Some(others) = nominated.get(&node.name) else { return Ok(()) };
    let mut with = node.clone();
    for other in others.iter().filter(|o| o.uid != pod.uid && o.priority >= pod.priority) {
        with.add(other.clone());
    }
    filters.check(pod, &with)
}

fn best(pod: &PodInfo, snapshot: &Snapshot, feasible: &[usize], ties: &mut Ties) -> usize {
    let mut totals = vec![0_i64; feasible.len()];
    let mut scores = vec![0_i64; feasible.len()];
    for plugin in plugins::ALL.iter().filter(|p| p.weight() > 0) {
        let Some(state) = plugin.pre_score(pod, snapshot, feasible) else { continue };
        for (score, at) in scores.iter_mut().zip(feasible) {
            *score = plugin.score(pod, &snapshot.nodes[*at], &state);
        }
        plugin.normalize(&mut scores);
        for (total, score) in totals.iter_mut().zip(&scores) {
            *total += plugin.weight() * score;
        }
    }
    let top = totals.iter().copied().max().unwrap_or(0);
    let winners: Vec<usize> =
        totals.iter().zip(feasible).filter(|(t, _)| **t == top).map(|(_, at)| *at).collect();
    winners[usize::try_from(ties.below(winners.len() as u64)).unwrap_or(0)]
}

/// Scales so that the largest becomes 100; `reverse` makes the smallest the best.
pub fn normalize_by_max(scores: &mut [i64], reverse: bool) {
    let max = scores.iter().copied().max().unwrap_or(0);
    for s in scores {
        *s = if max == 0 { 0 } else { *s * MAX_SCORE / max };
        if reverse {
            *s = MAX_SCORE - *s;
        }
    }
}

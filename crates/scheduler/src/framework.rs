//! The extension points that plugins fill, and what comes of a decision.
// k8s: staging/src/k8s.io/kube-scheduler/framework/interface.go; pkg/scheduler/framework/types.go

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::pod::Needs;
use crate::snapshot::NodeInfo;

/// The best score of a node.
pub const MAX_SCORE: i64 = 100;

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
    pub const fn new(plugin: &'static str, reason: &'static str) -> Self {
        Rejection { plugin, reason: Cow::Borrowed(reason), more: Vec::new(), unresolvable: false }
    }

    /// A rejection that preemption cannot resolve.
    #[must_use]
    pub const fn unresolvable(plugin: &'static str, reason: &'static str) -> Self {
        Rejection { plugin, reason: Cow::Borrowed(reason), more: Vec::new(), unresolvable: true }
    }

    /// All reasons.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.reason).chain(&self.more).map(AsRef::as_ref)
    }
}

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

/// One plugin. `filter` and `score` see the pod's needs and the node alone, so that pods with equal needs share what
/// they say; the plugins that look at other pods keep ledgers instead. Every method but two has a default that takes
/// no part.
pub trait Plugin: Sync {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// Whether the pod may go to the node.
    ///
    /// # Errors
    /// Why not.
    fn filter(&self, _needs: &Needs, _node: &NodeInfo) -> Result<(), Rejection> {
        Ok(())
    }

    /// Weight of the scores; 0 when the plugin does not score.
    fn weight(&self) -> i64 {
        0
    }

    /// Whether `score` has anything to say about pods with these needs.
    fn scores(&self, _needs: &Needs) -> bool {
        false
    }

    /// A raw score.
    fn score(&self, _needs: &Needs, _node: &NodeInfo) -> i64 {
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
    /// How many nodes each reason keeps the pod off.
    pub reasons: BTreeMap<Box<str>, usize>,
    /// Plugins that rejected.
    pub plugins: Vec<&'static str>,
    /// What keeps the pod off all nodes, whatever they are.
    pub conflict: Option<&'static str>,
    /// Slots of the nodes on which preemption might help.
    pub resolvable: Vec<usize>,
}

impl FitError {
    /// Counts a rejection of so many nodes.
    pub fn count(&mut self, rejection: &Rejection, nodes: usize) {
        if !self.plugins.contains(&rejection.plugin) {
            self.plugins.push(rejection.plugin);
        }
        self.count_reasons(rejection, nodes);
    }

    /// The same without remembering the plugin.
    pub fn count_reasons(&mut self, rejection: &Rejection, nodes: usize) {
        for reason in rejection.reasons() {
            match self.reasons.get_mut(reason) {
                Some(n) => *n += nodes,
                None => {
                    self.reasons.insert(reason.into(), nodes);
                }
            }
        }
    }

    /// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) ...`.
    // k8s: pkg/scheduler/framework/types.go FitError.Error
    #[must_use]
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        if let Some(conflict) = self.conflict {
            return format!("0/{} nodes are available: {conflict}.", self.nodes);
        }
        let mut parts: Vec<String> = self.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        parts.sort();
        format!("0/{} nodes are available: {}.", self.nodes, parts.join(", "))
    }
}

/// A small seeded generator for breaking ties.
#[derive(Clone, Debug)]
pub struct Ties(pub u64);

impl Ties {
    /// A number below `n`; 0 when that is 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (n.max(1) as u64)).unwrap_or(0)
    }
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

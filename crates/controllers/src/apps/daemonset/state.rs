//! What a decision on a daemon set is made from.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::Failure;

use super::backoff::Backoffs;
use super::types::DaemonSet;
use crate::core::node::Node;
use crate::core::pod::Pod;
use crate::owners::{self, MayAdopt};
use crate::safe::Fnv;
use crate::shared::names;
use crate::shared::revision::{REVISION_HASH, Revision};

/// The label of a pod with the number of its template.
pub const POD_GENERATION: &str = "pod-template-generation";

/// What a decision on a daemon set depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub ds: Arc<DaemonSet>,
    /// All nodes.
    pub nodes: Vec<Arc<Node>>,
    /// Pods that it manages, and those that nobody manages and whose labels match.
    pub pods: Vec<Arc<Pod>>,
    /// Likewise its revisions.
    pub revisions: Vec<Arc<Revision>>,
    /// The revision, whosesoever, of the name that one of the current template would get.
    pub named: Option<Arc<Revision>>,
    pub may_adopt: MayAdopt,
    pub failures: Vec<Failure>,
}

impl State {
    pub(super) fn owned(&self) -> impl Iterator<Item = &Arc<Pod>> {
        owners::owned(&self.pods, |p| &p.metadata, &self.ds.metadata, &self.ds.spec.selector)
    }
}

/// The node that a pod is on or made for; empty when that is not known.
// k8s: pkg/controller/daemon/util/daemonset_util.go GetTargetNodeName
pub(super) fn target(p: &Pod) -> &str {
    if p.spec.node_name.is_empty() { &p.spec.pinned_to } else { &p.spec.node_name }
}

/// The oldest first, but those with a node before those without.
// k8s: pkg/controller/daemon/daemon_controller.go podByCreationTimestampAndPhase
fn age(a: &&Pod, b: &&Pod) -> Ordering {
    let waits = |p: &Pod| p.spec.node_name.is_empty();
    let by = |p: &Pod| (waits(p), p.metadata.creation_timestamp);
    by(a).cmp(&by(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
}

/// What is remembered of a daemon set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub(super) backoffs: Backoffs,
    /// The pod last seen for each node, by UID: its successor gets another name.
    last: BTreeMap<Box<str>, Arc<str>>,
}

impl Memory {
    /// Takes note of the pods that are there.
    pub(super) fn see(&mut self, view: &View<'_>) {
        if self.last.len() > view.state.nodes.len() {
            let nodes: BTreeSet<&str> = view.state.nodes.iter().map(|n| &*n.metadata.name).collect();
            self.last.retain(|n, _| nodes.contains(&**n));
        }
        for (node, pods) in &view.by_node {
            let Some(p) = pods.last() else { continue };
            if self.last.get(*node) != Some(&p.metadata.uid) {
                self.last.insert((*node).into(), p.metadata.uid.clone());
            }
        }
    }

    /// Where the names of a node's next pods begin. The same until another pod was seen there.
    pub(super) fn names(&self, view: &View<'_>, node: &str) -> Fnv {
        let pods = view.on(node).iter().map(|p| &*p.metadata.uid);
        let seen: BTreeSet<&str> = pods.chain(self.last.get(node).map(|u| &**u)).collect();
        let mut base = names::base(&view.ds.metadata, seen.into_iter());
        base.text(node);
        base
    }
}

/// A daemon set at a moment, its pods by their nodes.
pub(super) struct View<'a> {
    pub(super) state: &'a State,
    pub(super) ds: &'a DaemonSet,
    /// Of the current revision.
    pub(super) hash: &'a str,
    pub(super) now: Timestamp,
    generation: Option<String>,
    /// The oldest first.
    pub(super) by_node: BTreeMap<&'a str, Vec<&'a Pod>>,
}

impl<'a> View<'a> {
    pub(super) fn new(state: &'a State, hash: &'a str, now: Timestamp) -> Self {
        let mut by_node: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
        // Nothing more is to be done about pods that have ended and are being deleted.
        for p in state.owned().filter(|p| !p.finished() || !p.metadata.deleting()) {
            let node = target(p);
            if !node.is_empty() {
                by_node.entry(node).or_default().push(p);
            }
        }
        by_node.values_mut().for_each(|pods| pods.sort_by(age));
        let generation = state.ds.template_generation().map(|g| g.to_string());
        View { state, ds: &state.ds, hash, now, generation, by_node }
    }

    /// The pods for a node.
    pub(super) fn on(&self, node: &str) -> &[&'a Pod] {
        self.by_node.get(node).map_or(&[], |pods| &pods[..])
    }

    /// Whether a pod is of the current template.
    // k8s: pkg/controller/daemon/util/daemonset_util.go IsPodUpdated
    pub(super) fn updated(&self, p: &Pod) -> bool {
        let label = |key| p.metadata.labels.get(key);
        let by_hash = !self.hash.is_empty() && label(REVISION_HASH) == Some(self.hash);
        by_hash || self.generation.as_deref().is_some_and(|g| label(POD_GENERATION) == Some(g))
    }

    pub(super) fn available(&self, p: &Pod) -> bool {
        p.available(self.ds.spec.min_ready_seconds, self.now)
    }
}

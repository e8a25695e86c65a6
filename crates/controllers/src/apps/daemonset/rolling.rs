//! Rolling updates: old pods are deleted, or new ones made beside them, as far as the strategy allows.
// k8s: pkg/controller/daemon/update.go rollingUpdate

use std::collections::BTreeMap;

use super::changes::Changes;
use super::place::Fit;
use super::state::View;
use crate::core::pod::Pod;

/// The pods of a node that are not being deleted.
enum OnNode<'a> {
    /// At most one of each.
    Pair { new: Option<&'a Pod>, old: Option<&'a Pod> },
    /// More, which [`super::manage`] clears away.
    Excess,
}

// k8s: pkg/controller/daemon/update.go findUpdatedPodsOnNode
fn pair<'a>(view: &View<'a>, pods: &[&'a Pod]) -> OnNode<'a> {
    let (mut new, mut old) = (None, None);
    for p in pods.iter().filter(|p| !p.metadata.deleting()) {
        let place = if view.updated(p) { &mut new } else { &mut old };
        if place.replace(*p).is_some() {
            return OnNode::Excess;
        }
    }
    OnNode::Pair { new, old }
}

/// What the update does next. All pods that [`super::manage`] wants are there.
pub(super) fn update<'a>(view: &View<'a>) -> Changes<'a> {
    let mut fits: BTreeMap<&str, Fit> = BTreeMap::new();
    let mut nodes: BTreeMap<&str, OnNode<'a>> =
        view.by_node.iter().map(|(node, pods)| (*node, pair(view, pods))).collect();
    let mut desired = 0;
    for n in &view.state.nodes {
        let (name, fit) = (&*n.metadata.name, view.ds.placement.fit(n));
        fits.insert(name, fit);
        if fit.run {
            desired += 1;
            nodes.entry(name).or_insert(OnNode::Pair { new: None, old: None });
        }
    }
    match view.ds.limits(desired) {
        (0, unavailable) => replace(view, &nodes, unavailable),
        (surge, _) => add(view, &nodes, &fits, surge, desired),
    }
}

/// Deletes old pods; new ones come in their place. Those that are not available go first and at once.
fn replace<'a>(view: &View<'a>, nodes: &BTreeMap<&str, OnNode<'a>>, limit: usize) -> Changes<'a> {
    let mut unavailable = 0;
    let (mut useless, mut candidates) = (Vec::new(), Vec::new());
    for pods in nodes.values() {
        match pods {
            OnNode::Pair { new: Some(new), old: None } if view.available(new) => {}
            OnNode::Pair { new: None, old: Some(old) } if view.available(old) => candidates.push(*old),
            OnNode::Pair { new: None, old: Some(old) } => {
                useless.push(*old);
                unavailable += 1;
            }
            _ => unavailable += 1,
        }
    }
    let more = limit.saturating_sub(unavailable);
    useless.extend(candidates.into_iter().take(more));
    Changes { create: Vec::new(), delete: useless }
}

/// Makes new pods beside old ones; an old one goes when the new one is available.
fn add<'a>(
    view: &View<'a>,
    nodes: &BTreeMap<&'a str, OnNode<'a>>,
    fits: &BTreeMap<&str, Fit>,
    limit: usize,
    desired: usize,
) -> Changes<'a> {
    let mut changes = Changes::default();
    let (mut surge, mut available) = (0, 0);
    let (mut candidates, mut misplaced) = (Vec::new(), Vec::new());
    for (node, pods) in nodes {
        let OnNode::Pair { new, old } = pods else {
            surge += 1;
            continue;
        };
        let serves = old.or(*new).is_some_and(|p| view.available(p));
        available += usize::from(serves);
        let Some(old) = *old else { continue };
        match new {
            Some(new) if view.available(new) => changes.delete.push(old),
            Some(_) => surge += 1,
            // What is on a node that is gone is not ours to move.
            None => match fits.get(node).map(|f| f.run) {
                None => {}
                Some(true) if serves => candidates.push(*node),
                Some(true) => changes.create.push(*node),
                Some(false) if serves => misplaced.push(old),
                Some(false) => changes.delete.push(old),
            },
        }
    }
    // Pods where none is to be stay until others do their work.
    changes.delete.extend(misplaced.into_iter().take(available.saturating_sub(desired)));
    changes.create.extend(candidates.into_iter().take(limit.saturating_sub(surge)));
    changes
}

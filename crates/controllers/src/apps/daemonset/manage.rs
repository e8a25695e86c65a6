//! One pod on every node that is to have one, none elsewhere, and none that has ended.
// k8s: pkg/controller/daemon/daemon_controller.go manage, podsShouldBeOnNode

use std::collections::BTreeSet;

use reconcile::{EventRecord, Plan};

use super::backoff::Backoffs;
use super::changes::Changes;
use super::state::View;
use crate::core::node::Node;
use crate::core::pod::Pod;
use crate::shared::revision::REVISION_HASH;
use crate::shared::workload::Workload;

/// What is to be made and deleted; into the plan go only events and when to look again.
pub(super) fn manage<'a>(view: &View<'a>, backoffs: &mut Backoffs, plan: &mut Plan) -> Changes<'a> {
    let mut changes = Changes::default();
    let surges = view.ds.surges();
    for node in &view.state.nodes {
        on_node(view, node, surges, backoffs, plan, &mut changes);
    }
    // Nobody else deletes pods that wait for nodes that are gone.
    let nodes: BTreeSet<&str> = view.state.nodes.iter().map(|n| &*n.metadata.name).collect();
    let lost = view.by_node.iter().filter(|(node, _)| !nodes.contains(**node));
    let waiting = |p: &&Pod| p.spec.node_name.is_empty() && !p.metadata.deleting();
    changes.delete.extend(lost.flat_map(|(_, pods)| pods.iter().copied().filter(waiting)));
    changes
}

fn on_node<'a>(
    view: &View<'a>,
    node: &'a Node,
    surges: bool,
    backoffs: &mut Backoffs,
    plan: &mut Plan,
    changes: &mut Changes<'a>,
) {
    let name = &*node.metadata.name;
    let fit = view.ds.placement.fit(node);
    let pods = view.on(name);
    if fit.run && pods.is_empty() {
        changes.create.push(name);
    } else if fit.stay {
        let mut running = Vec::new();
        for p in pods.iter().filter(|p| !p.metadata.deleting()) {
            if !p.finished() {
                running.push(*p);
            } else if goes(view, p, name, backoffs, plan) {
                changes.delete.push(*p);
            }
        }
        if !surges {
            changes.delete.extend(running.into_iter().skip(1));
        } else if running.is_empty() && fit.run {
            changes.create.push(name);
        } else if running.len() > 1 {
            changes.delete.extend(superfluous(view, &running));
        }
    } else {
        changes.delete.extend(pods.iter().filter(|p| !p.metadata.deleting()));
    }
}

/// Whether a pod that has ended is deleted now.
fn goes(view: &View<'_>, p: &Pod, node: &str, backoffs: &mut Backoffs, plan: &mut Plan) -> bool {
    let about = || view.ds.about();
    let (ns, name) = (&p.metadata.namespace, &p.metadata.name);
    if &*p.status.phase == "Succeeded" {
        let message = format!("Found succeeded daemon pod {ns}/{name} on node {node}, will try to delete it");
        plan.events.push(EventRecord::normal(about(), "SucceededDaemonPod", message));
        return true;
    }
    if let Some(until) = backoffs.hold(view.ds, node, view.now) {
        plan.requeue_by(until);
        return false;
    }
    let message = format!("Found failed daemon pod {ns}/{name} on node {node}, will try to kill it");
    plan.events.push(EventRecord::warning(about(), "FailedDaemonPod", message));
    true
}

/// With surge there may be two pods while the old one is ready and the new one is not available. `running`: the oldest
/// first.
fn superfluous<'a>(view: &View<'a>, running: &[&'a Pod]) -> Vec<&'a Pod> {
    let (mut new, mut old, mut out) = (None, None, Vec::new());
    for p in running {
        let is_new = p.metadata.labels.get(REVISION_HASH) == Some(view.hash);
        let place = if is_new { &mut new } else { &mut old };
        if place.is_none() {
            *place = Some(*p);
        } else {
            out.push(*p);
        }
    }
    if let (Some(new), Some(old)) = (new, old)
        && (!old.ready() || view.available(new))
    {
        out.push(old);
    }
    out
}

//! Preemption: which pods of lower priority must go so that a pod fits, on the node where that costs least.
//! Pod disruption budgets are not looked at yet.
// k8s: pkg/scheduler/framework/preemption/preemption.go

use std::sync::Arc;

use crate::framework::{Filters, FitError};
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;

/// A node and the pods to take off it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub node: usize,
    pub victims: Vec<Arc<PodInfo>>,
}

/// So many candidates, or a tenth of the nodes if that is more, are enough to choose from.
// k8s: pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go calculateNumCandidates
const ENOUGH: usize = 100;

/// Whether the pod must wait for a pod of lower priority that is leaving the node it is `nominated` to already,
/// instead of preempting again. Not when that node has become one that preemption cannot help on.
// k8s: pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go PodEligibleToPreemptOthers
#[must_use]
pub fn must_wait(pod: &PodInfo, nominated: Option<&str>, snapshot: &Snapshot, error: &FitError) -> bool {
    let Some(node) = nominated.and_then(|name| snapshot.node(name)) else { return false };
    let helpless =
        error.rejections.iter().any(|(at, r)| r.unresolvable && snapshot.nodes[*at].name == node.name);
    !helpless && node.pods.values().any(|p| p.deleting && p.priority < pod.priority)
}

/// The cheapest candidate; `None` when no set of victims helps. Pods that are leaving already are no victims, and
/// their room is not free before they are gone.
#[must_use]
pub fn find(pod: &PodInfo, snapshot: &Snapshot, error: &FitError) -> Option<Candidate> {
    if !pod.may_preempt {
        return None;
    }
    let enough = ENOUGH.max(error.nodes / 10);
    let mut trial = None;
    let mut best: Option<Candidate> = None;
    let resolvable = error.rejections.iter().filter(|(_, r)| !r.unresolvable);
    let candidates = resolvable.filter_map(|(at, _)| {
        let node = &snapshot.nodes[*at];
        let lower: Vec<Arc<PodInfo>> =
            node.pods.values().filter(|p| p.priority < pod.priority && !p.deleting).cloned().collect();
        // The copy is made once, and only when there is anybody to take off a node.
        if lower.is_empty() {
            None
        } else {
            victims(pod, trial.get_or_insert_with(|| snapshot.clone()), *at, lower)
        }
    });
    for found in candidates.take(enough) {
        if best.as_ref().is_none_or(|b| cost(&found) < cost(b)) {
            best = Some(found);
        }
    }
    best
}

/// Lowest top priority first, then lowest sum, then fewest victims.
fn cost(c: &Candidate) -> (i32, i64, usize) {
    let top = c.victims.iter().map(|v| v.priority).max().unwrap_or(i32::MIN);
    let sum = c.victims.iter().map(|v| i64::from(v.priority) + i64::from(i32::MAX) + 1).sum();
    (top, sum, c.victims.len())
}

/// Tries it out on a copy of the snapshot, which is as before afterwards.
fn victims(
    pod: &PodInfo,
    trial: &mut Snapshot,
    at: usize,
    mut lower: Vec<Arc<PodInfo>>,
) -> Option<Candidate> {
    let name = trial.nodes[at].name.clone();
    let fits =
        |trial: &Snapshot| trial.node(&name).is_some_and(|n| Filters::new(pod, trial).check(pod, n).is_ok());
    for p in &lower {
        trial.remove_pod(&p.uid);
    }
    let helps = fits(trial);
    // Put back whom we can, the most important and longest running first.
    lower.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.created.cmp(&b.created)).then(a.uid.cmp(&b.uid)));
    let mut victims = Vec::new();
    for p in lower {
        trial.set_pod(p.clone(), &name);
        if helps && !fits(trial) {
            trial.remove_pod(&p.uid);
            victims.push(p);
        }
    }
    for p in &victims {
        trial.set_pod(p.clone(), &name);
    }
    helps.then_some(Candidate { node: at, victims })
}

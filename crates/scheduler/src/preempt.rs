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

/// The cheapest candidate; `None` when no set of victims helps.
#[must_use]
pub fn find(pod: &PodInfo, snapshot: &Snapshot, error: &FitError) -> Option<Candidate> {
    if !pod.may_preempt {
        return None;
    }
    let mut best: Option<Candidate> = None;
    for (at, rejection) in &error.rejections {
        if rejection.unresolvable {
            continue;
        }
        let Some(found) = victims(pod, snapshot, *at) else { continue };
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

fn victims(pod: &PodInfo, snapshot: &Snapshot, at: usize) -> Option<Candidate> {
    let mut trial = snapshot.clone();
    let name = trial.nodes[at].name.clone();
    let mut lower: Vec<Arc<PodInfo>> =
        trial.nodes[at].pods.values().filter(|p| p.priority < pod.priority).cloned().collect();
    if lower.is_empty() {
        return None;
    }
    for p in &lower {
        trial.remove_pod(&p.uid);
    }
    let fits =
        |trial: &Snapshot| trial.node(&name).is_some_and(|n| Filters::new(pod, trial).check(pod, n).is_ok());
    if !fits(&trial) {
        return None;
    }
    // Put back whom we can, the most important and longest running first.
    lower.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.created.cmp(&b.created)).then(a.uid.cmp(&b.uid)));
    let mut victims = Vec::new();
    for p in lower {
        trial.set_pod(p.clone(), &name);
        if !fits(&trial) {
            trial.remove_pod(&p.uid);
            victims.push(p);
        }
    }
    Some(Candidate { node: at, victims })
}

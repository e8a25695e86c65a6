//! Forgetting old rollouts.
// k8s: pkg/controller/deployment/sync.go cleanupDeployment

use std::sync::Arc;

use reconcile::{Action, Plan};

use super::state::{REVISION, Sets};
use crate::apps::types::{Deployment, REPLICASETS, ReplicaSet};

/// Plans the deletion of old, empty replica sets beyond the history limit, oldest revision first.
pub(crate) fn old_sets(d: &Deployment, sets: &Sets<'_>, plan: &mut Plan) {
    let limit = match d.spec.revision_history_limit {
        None => 10,
        Some(i32::MAX) => return,
        Some(n) => usize::try_from(n).unwrap_or(0),
    };
    let mut alive: Vec<&Arc<ReplicaSet>> =
        sets.old.iter().copied().filter(|rs| !rs.metadata.deleting()).collect();
    let excess = alive.len().saturating_sub(limit);
    let revision = |rs: &ReplicaSet| {
        rs.metadata.annotations.get(REVISION).and_then(|v| v.parse::<i64>().ok()).unwrap_or(0)
    };
    alive.sort_by_key(|rs| revision(rs));
    let empty = |rs: &&&Arc<ReplicaSet>| {
        rs.status.replicas == 0
            && rs.replicas() == 0
            && rs.metadata.generation <= rs.status.observed_generation
    };
    plan.step(
        alive.iter().take(excess).filter(empty).map(|rs| Action::delete(REPLICASETS, &rs.metadata)).collect(),
    );
}

//! The two strategies.
// k8s: pkg/controller/deployment/rolling.go, recreate.go

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::Plan;

use super::state::{Sets, State};
use super::{cleanup, newset, scale::scale_one, status};
use crate::apps::types::{Deployment, ReplicaSet};

/// Makes the new replica set or brings it up to date. False: decide again when that is done.
fn has_new_set(state: &State, sets: &Sets<'_>, now: Timestamp, plan: &mut Plan) -> bool {
    if sets.new.is_none() {
        newset::create(state, sets, now, plan);
        return false;
    }
    !newset::sync_existing(state, sets, now, plan)
}

fn finish(state: &State, sets: &Sets<'_>, now: Timestamp, plan: &mut Plan) {
    if status::complete(&state.d, &state.d.status) {
        cleanup::old_sets(&state.d, sets, plan);
    }
    status::rollout(state, sets, now, plan);
}

/// One step of a rolling update.
pub(crate) fn rolling(state: &State, sets: &Sets<'_>, now: Timestamp, plan: &mut Plan) {
    if !has_new_set(state, sets, now, plan) {
        return;
    }
    let d = &state.d;
    let Some(new) = sets.new else { return };
    let to = if new.replicas() > d.replicas() { d.replicas() } else { newset::allowed_replicas(d, sets) };
    if new.replicas() != d.replicas() && scale_one(state, new, to, plan) {
        return status::rollout(state, sets, now, plan);
    }
    let down = scale_downs(d, sets);
    if !down.is_empty() {
        for (rs, to) in down {
            scale_one(state, rs, to, plan);
        }
        return status::rollout(state, sets, now, plan);
    }
    finish(state, sets, now, plan);
}

/// One step of a recreation: all old pods end before the first new one starts.
pub(crate) fn recreate(state: &State, sets: &Sets<'_>, now: Timestamp, plan: &mut Plan) {
    let active: Vec<_> = sets.old.iter().filter(|rs| rs.replicas() > 0).collect();
    if !active.is_empty() {
        for rs in active {
            scale_one(state, rs, 0, plan);
        }
        return status::rollout(state, sets, now, plan);
    }
    if state.old_pods_run {
        return status::rollout(state, sets, now, plan);
    }
    if !has_new_set(state, sets, now, plan) {
        return;
    }
    if let Some(new) = sets.new
        && new.replicas() != state.d.replicas()
    {
        scale_one(state, new, state.d.replicas(), plan);
    }
    finish(state, sets, now, plan);
}

/// The sizes to which old replica sets may shrink now: first what is not healthy in them, then what the new
/// one makes superfluous.
// k8s: rolling.go reconcileOldReplicaSets
pub(crate) fn scale_downs<'a>(d: &Deployment, sets: &Sets<'a>) -> Vec<(&'a Arc<ReplicaSet>, i32)> {
    let Some(new) = sets.new else { return Vec::new() };
    let old: Vec<&Arc<ReplicaSet>> = sets.old.iter().copied().filter(|rs| rs.replicas() > 0).collect();
    let min_available = d.replicas() - d.max_unavailable();
    let new_unavailable = new.replicas() - new.status.available_replicas;
    let most = sets.total() - min_available - new_unavailable;
    // Upstream takes pods away also on the word of replica sets that have not been heard since.
    if old.is_empty() || most <= 0 || !sets.heard() {
        return Vec::new();
    }
    let mut sizes: BTreeMap<usize, i32> = BTreeMap::new();
    let mut cleaned = 0;
    for (i, rs) in old.iter().enumerate() {
        let unhealthy = rs.replicas() - rs.status.available_replicas;
        let n = unhealthy.min(most - cleaned);
        if n > 0 {
            sizes.insert(i, rs.replicas() - n);
            cleaned += n;
        }
    }
    // Upstream counts all that are available. A replica set that has not shrunk yet still shows pods that
    // are about to go; they must not be given away twice.
    let mut spare = sets.lasting() - min_available;
    for (i, rs) in old.iter().enumerate() {
        let size = sizes.get(&i).copied().unwrap_or(rs.replicas());
        let n = size.min(spare);
        if n > 0 {
            sizes.insert(i, size - n);
            spare -= n;
        }
    }
    sizes.into_iter().map(|(i, size)| (old[i], size)).collect()
}

//! Scaling replica sets: one of them, or all in proportion when a rollout is under way.
// k8s: pkg/controller/deployment/sync.go scale

use std::sync::Arc;

use reconcile::{Action, EventRecord, Plan};
use serde_json::json;

use super::state::{DESIRED_REPLICAS, MAX_REPLICAS, Sets, State};
use crate::apps::types::{Deployment, REPLICASETS, ReplicaSet};

/// Whether the deployment's wanted number has changed since its replica sets were scaled.
// k8s: sync.go isScalingEvent
pub(crate) fn is_scaling(d: &Deployment, sets: &Sets<'_>) -> bool {
    let active: Vec<_> = sets.all().filter(|rs| rs.replicas() > 0).collect();
    // Several are scaled in proportion only by a rolling update. A recreation ends the old ones by itself;
    // upstream scales nothing here and stays so for ever (adopted sets carry another deployment's number).
    (d.rolling() || active.len() <= 1)
        && active.iter().filter_map(|rs| rs.annotated(DESIRED_REPLICAS)).any(|n| n != d.replicas())
}

/// Plans `rs` to have `to` pods. False: it has, and its annotations are right.
pub(crate) fn scale_one(state: &State, rs: &ReplicaSet, to: i32, plan: &mut Plan) -> bool {
    let d = &state.d;
    let from = rs.replicas();
    let max = d.replicas() + d.max_surge();
    let annotated =
        rs.annotated(DESIRED_REPLICAS) == Some(d.replicas()) && rs.annotated(MAX_REPLICAS) == Some(max);
    if from == to && annotated {
        return false;
    }
    let body = json!({
        "metadata": {
            "uid": rs.metadata.uid, "resourceVersion": rs.metadata.resource_version.to_string(),
            "annotations": {DESIRED_REPLICAS: d.replicas().to_string(), MAX_REPLICAS: max.to_string()},
        },
        "spec": {"replicas": to},
    });
    let mut action = Action::merge_patch(REPLICASETS, &rs.metadata.key(), "", &body);
    if from != to {
        let direction = if to > from { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {from} to {to}", rs.metadata.name);
        action = action.on_ok(EventRecord::normal(state.about(), "ScalingReplicaSet", message));
    }
    plan.step(vec![action]);
    true
}

/// Plans all that a changed number, or a paused deployment, asks for.
pub(crate) fn scale(state: &State, sets: &Sets<'_>, plan: &mut Plan) {
    let d = &state.d;
    let active: Vec<&Arc<ReplicaSet>> = sets.all().filter(|rs| rs.replicas() > 0).collect();
    if active.len() <= 1 {
        let only = active.first().copied().or(sets.new).or(sets.old.last().copied());
        // Also when only the annotation is of another number, as that of an adopted set is: left as it is, it
        // would look like a change of the number for ever, and no rollout would begin.
        let off = |rs: &ReplicaSet| rs.annotated(DESIRED_REPLICAS).is_some_and(|n| n != d.replicas());
        if let Some(rs) = only
            && (rs.replicas() != d.replicas() || off(rs))
        {
            scale_one(state, rs, d.replicas(), plan);
        }
        return;
    }
    if saturated(d, sets) {
        for rs in sets.old.iter().filter(|rs| rs.replicas() > 0) {
            scale_one(state, rs, 0, plan);
        }
        return;
    }
    if d.rolling() {
        let mut sizes = proportional(d, active);
        // Upstream goes by size. What shrinks goes first here, so that the sets never ask for more in between
        // than they do in the end.
        sizes.sort_by_key(|(rs, to)| *to > rs.replicas());
        for (rs, to) in sizes {
            scale_one(state, rs, to, plan);
        }
    }
}

/// Whether the new replica set has everything that is wanted.
fn saturated(d: &Deployment, sets: &Sets<'_>) -> bool {
    sets.new.is_some_and(|rs| {
        rs.annotated(DESIRED_REPLICAS) == Some(d.replicas())
            && rs.replicas() == d.replicas()
            && rs.status.available_replicas == d.replicas()
            && rs.status.observed_generation >= rs.metadata.generation
    })
}

/// Spreads the difference over the active replica sets by their size; the largest gets what is left over.
pub(crate) fn proportional<'a>(
    d: &Deployment,
    mut active: Vec<&'a Arc<ReplicaSet>>,
) -> Vec<(&'a Arc<ReplicaSet>, i32)> {
    let total: i32 = active.iter().map(|rs| rs.replicas()).sum();
    let allowed = if d.replicas() > 0 { d.replicas() + d.max_surge() } else { 0 };
    let to_add = allowed - total;
    active.sort_by(|a, b| {
        let by_age = a.metadata.creation_timestamp.cmp(&b.metadata.creation_timestamp);
        let by_age = by_age.then_with(|| a.metadata.name.cmp(&b.metadata.name));
        let by_age = if to_add > 0 { by_age.reverse() } else { by_age };
        b.replicas().cmp(&a.replicas()).then(by_age)
    });
    let mut added = 0;
    let mut sizes: Vec<(&Arc<ReplicaSet>, i32)> = Vec::with_capacity(active.len());
    for rs in active {
        let share = if to_add == 0 { 0 } else { proportion(d, rs, to_add, added) };
        added += share;
        sizes.push((rs, rs.replicas() + share));
    }
    if to_add != 0
        && let Some(first) = sizes.first_mut()
    {
        first.1 = (first.1 + to_add - added).max(0);
    }
    sizes
}

// k8s: util/deployment_util.go GetReplicaSetProportion
fn proportion(d: &Deployment, rs: &ReplicaSet, to_add: i32, added: i32) -> i32 {
    if rs.replicas() == 0 || to_add == added {
        return 0;
    }
    let (share, left) = (fraction(d, rs), to_add - added);
    if to_add > 0 { share.min(left) } else { share.max(left) }
}

fn fraction(d: &Deployment, rs: &ReplicaSet) -> i32 {
    if d.replicas() == 0 {
        return -rs.replicas();
    }
    let wanted = f64::from(d.replicas() + d.max_surge());
    let before = match rs.annotated(MAX_REPLICAS) {
        Some(n) if n > 0 => n,
        _ if d.status.replicas > 0 => d.status.replicas,
        _ => return 0,
    };
    let size = (f64::from(rs.replicas()) * wanted / f64::from(before)).round();
    size as i32 - rs.replicas()
}

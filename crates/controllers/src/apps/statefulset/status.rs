//! The status of a stateful set.
// k8s: pkg/controller/statefulset/stateful_set_control.go computeReplicaStatus, updateStatefulSetStatus

use jiff::Timestamp;
use reconcile::{Action, Plan};
use serde_json::json;

use super::revisions::Chosen;
use super::state::{Members, ready, revision_of};
use super::types::{STATEFULSETS, StatefulSet, StatefulSetStatus};
use crate::core::pod::Pod;

fn compute(set: &StatefulSet, members: &Members<'_>, chosen: &Chosen, now: Timestamp) -> StatefulSetStatus {
    let count = |which: &dyn Fn(&Pod) -> bool| {
        i32::try_from(members.all().filter(|p| which(p)).count()).unwrap_or(i32::MAX)
    };
    let of = |name: &str| count(&|p| !p.metadata.deleting() && revision_of(p) == name);
    let min_ready = set.spec.min_ready_seconds;
    let mut status = StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas: count(&|_| true),
        ready_replicas: count(&ready),
        available_replicas: count(&|p| ready(p) && p.available(min_ready, now)),
        current_replicas: of(&chosen.current),
        updated_replicas: of(&chosen.update),
        current_revision: chosen.current.as_str().into(),
        update_revision: chosen.update.as_str().into(),
        collision_count: set.status.collision_count,
    };
    // k8s: pkg/controller/statefulset/stateful_set_utils.go completeUpdate
    let all = |n: i32| i64::from(n) == set.replicas();
    if all(status.updated_replicas) && all(status.ready_replicas) && all(status.replicas) {
        status.current_replicas = status.updated_replicas;
        status.current_revision = status.update_revision.clone();
    }
    status
}

/// Writes the status when it has changed, and looks again when a pod will have been ready for long enough.
pub(super) fn write(
    set: &StatefulSet,
    members: &Members<'_>,
    chosen: &Chosen,
    now: Timestamp,
    plan: &mut Plan,
) {
    let min_ready = set.spec.min_ready_seconds;
    let waiting = members.all().filter(|p| ready(p) && !p.available(min_ready, now));
    if let Some(at) = waiting.filter_map(|p| p.available_at(min_ready)).min() {
        plan.requeue_by(at);
    }
    let new = compute(set, members, chosen, now);
    if new == set.status {
        return;
    }
    let or_null = crate::apps::replicaset::or_null;
    let body = json!({
        "observedGeneration": new.observed_generation,
        "replicas": new.replicas,
        "readyReplicas": or_null(new.ready_replicas),
        "availableReplicas": new.available_replicas,
        "currentReplicas": or_null(new.current_replicas),
        "updatedReplicas": or_null(new.updated_replicas),
        "currentRevision": new.current_revision,
        "updateRevision": new.update_revision,
        "collisionCount": new.collision_count.unwrap_or(0),
    });
    plan.always(vec![Action::status_patch(STATEFULSETS, &set.metadata, &body).tolerate(&["NotFound"])]);
}

//! The status of a daemon set.
// k8s: pkg/controller/daemon/daemon_controller.go updateDaemonSetStatus

use reconcile::{Action, Plan};
use serde_json::json;

use super::state::View;
use super::types::{DAEMON_SETS, DaemonSetStatus};
use crate::apps::replicaset::or_null;

fn compute(view: &View<'_>) -> DaemonSetStatus {
    let mut s = DaemonSetStatus {
        observed_generation: view.ds.metadata.generation,
        collision_count: view.ds.status.collision_count,
        ..DaemonSetStatus::default()
    };
    for n in &view.state.nodes {
        let oldest = view.on(&n.metadata.name).first();
        if !view.ds.placement.fit(n).run {
            s.number_misscheduled += i32::from(oldest.is_some());
            continue;
        }
        s.desired_number_scheduled += 1;
        let Some(p) = oldest else { continue };
        s.current_number_scheduled += 1;
        s.number_ready += i32::from(p.ready());
        s.number_available += i32::from(view.available(p));
        s.updated_number_scheduled += i32::from(view.updated(p));
    }
    s.number_unavailable = s.desired_number_scheduled - s.number_available;
    s
}

pub(super) fn write(view: &View<'_>, plan: &mut Plan) {
    let ds = view.ds;
    let min_ready = ds.spec.min_ready_seconds;
    if min_ready > 0 {
        let waiting = view.by_node.values().flatten().filter(|p| !view.available(p));
        if let Some(at) = waiting.filter_map(|p| p.available_at(min_ready)).min() {
            plan.requeue_by(at);
        }
    }
    let new = compute(view);
    if new == ds.status {
        return;
    }
    let body = json!({
        "currentNumberScheduled": new.current_number_scheduled,
        "numberMisscheduled": new.number_misscheduled,
        "desiredNumberScheduled": new.desired_number_scheduled,
        "numberReady": new.number_ready,
        "observedGeneration": new.observed_generation,
        "updatedNumberScheduled": or_null(new.updated_number_scheduled),
        "numberAvailable": or_null(new.number_available),
        "numberUnavailable": or_null(new.number_unavailable),
    });
    plan.always(vec![Action::status_patch(DAEMON_SETS, &ds.metadata, &body).tolerate(&["NotFound"])]);
}

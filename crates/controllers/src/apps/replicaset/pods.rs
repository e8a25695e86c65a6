//! Creating what is missing and deleting what is too much.

use std::collections::BTreeSet;

use jiff::Timestamp;
use reconcile::{Action, EventRecord, ObjectReference, Plan};

use super::state::{BURST_REPLICAS, State};
use crate::core::pod::{PODS, deletion_order};
use crate::owners::controller_ref;
use crate::shared::names;

/// Wanted minus present: positive when pods are missing.
pub(crate) fn missing(state: &State) -> i64 {
    i64::from(state.rs.replicas()) - i64::try_from(state.active().count()).unwrap_or(i64::MAX)
}

pub(crate) fn manage(state: &State, now: Timestamp, plan: &mut Plan) {
    let missing = missing(state);
    let n = usize::try_from(missing.unsigned_abs()).unwrap_or(usize::MAX).min(BURST_REPLICAS);
    if missing > 0 {
        plan.slow_start(creations(state, n));
    } else if missing < 0 {
        plan.step(deletions(state, n, now));
    }
}

fn about(state: &State) -> ObjectReference {
    ObjectReference::to(state.kind.api_version, state.kind.kind, &state.rs.metadata)
}

fn creations(state: &State, n: usize) -> Vec<Action> {
    let rs = &state.rs;
    let owner = controller_ref(state.kind.api_version, state.kind.kind, &rs.metadata);
    let mut body = rs.spec.template.pod(&rs.metadata, owner);
    let make = |name: String| {
        body["metadata"]["name"] = name.as_str().into();
        Action::create(PODS, &rs.metadata.namespace, &name, &body)
            .on_ok(EventRecord::normal(about(state), "SuccessfulCreate", "Created pod: {name}"))
            .on_err(EventRecord::warning(about(state), "FailedCreate", "Error creating: {error}"))
    };
    names(state, n).into_iter().map(make).collect()
}

fn names(state: &State, n: usize) -> Vec<String> {
    let rs = &state.rs.metadata;
    let taken: BTreeSet<&str> = state.pods.iter().map(|p| &*p.metadata.name).collect();
    let base = names::base(rs, state.owned().map(|p| &*p.metadata.uid));
    names::several(rs, base, &taken, &state.failures, n)
}

fn deletions(state: &State, n: usize, now: Timestamp) -> Vec<Action> {
    let rank = |node: &str| state.related.get(node).copied().unwrap_or(0);
    let mut pods: Vec<_> = state.active().map(|p| (&**p, rank(&p.spec.node_name))).collect();
    let min_ready = state.rs.spec.min_ready_seconds;
    pods.sort_by(|a, b| deletion_order(*a, *b, min_ready, now));
    let delete = |p: &crate::core::pod::Pod| {
        Action::delete(PODS, &p.metadata)
            .on_ok(EventRecord::normal(
                about(state),
                "SuccessfulDelete",
                format!("Deleted pod: {}", p.metadata.name),
            ))
            .on_err(EventRecord::warning(about(state), "FailedDelete", "Error deleting: {error}"))
    };
    pods.into_iter().take(n).map(|(p, _)| delete(p)).collect()
}

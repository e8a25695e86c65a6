//! Creating what is missing and deleting what is too much.

use std::collections::BTreeSet;

use jiff::Timestamp;
use reconcile::{Action, EventRecord, ObjectReference, Op, Plan};
use serde_json::{Value, json};

use super::state::{BURST_REPLICAS, State};
use crate::core::pod::{PODS, deletion_order};
use crate::owners::controller_ref;
use crate::safe::{Fnv, generated};

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
    ObjectReference::to("apps/v1", "ReplicaSet", &state.rs.metadata)
}

fn creations(state: &State, n: usize) -> Vec<Action> {
    let rs = &state.rs;
    let mut body = rs.spec.template.value();
    let spec = body.get_mut("spec").map(Value::take).unwrap_or_default();
    let mut metadata = json!({"namespace": rs.metadata.namespace});
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(v) = body.pointer_mut(&format!("/metadata/{field}")).map(Value::take)
            && !v.is_null()
        {
            metadata[field] = v;
        }
    }
    metadata["ownerReferences"] = json!([controller_ref("apps/v1", "ReplicaSet", &rs.metadata)]);
    let mut body = json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec});
    let make = |name: String| {
        body["metadata"]["name"] = name.as_str().into();
        Action::create(PODS, &rs.metadata.namespace, &name, &body)
            .on_ok(EventRecord::normal(about(state), "SuccessfulCreate", "Created pod: {name}"))
            .on_err(EventRecord::warning(about(state), "FailedCreate", "Error creating: {error}"))
    };
    names(state, n).into_iter().map(make).collect()
}

/// Names for new pods. First those of creates whose outcome is not known, then names that follow from the
/// pods that exist.
fn names(state: &State, n: usize) -> Vec<String> {
    let rs = &state.rs.metadata;
    let taken: BTreeSet<&str> = state.pods.iter().map(|p| &*p.metadata.name).collect();
    let mut refused: BTreeSet<&str> = BTreeSet::new();
    let mut names: Vec<String> = Vec::with_capacity(n);
    for f in &state.failures {
        let Op::Create { name, .. } = &f.op else { continue };
        if f.status.is("AlreadyExists") {
            refused.insert(name);
        } else if names.len() < n && !taken.contains(name.as_str()) {
            names.push(name.clone());
        }
    }
    let mut base = Fnv::default();
    base.text(&rs.uid);
    let mut uids: Vec<&str> = state.owned().map(|p| &*p.metadata.uid).collect();
    uids.sort_unstable();
    uids.iter().for_each(|u| base.text(u));
    let prefix = format!("{}-", rs.name);
    let mut used: BTreeSet<String> = names.iter().cloned().collect();
    // Far more tries than needed: with 500 names out of 14 million a repetition is rare.
    for i in 0..u32::try_from(n * 4 + refused.len() + 64).unwrap_or(u32::MAX) {
        if names.len() >= n {
            break;
        }
        let mut h = base;
        h.write(&i.to_le_bytes());
        let name = generated(&prefix, mix(h.finish()));
        let free = !taken.contains(name.as_str()) && !refused.contains(name.as_str());
        if free && used.insert(name.clone()) {
            names.push(name);
        }
    }
    names
}

/// Spreads the last bytes hashed over all bits.
fn mix(mut h: u32) -> u32 {
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
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

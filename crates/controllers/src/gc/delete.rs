//! Whether an object outlives its owners.
// k8s: garbagecollector.go attemptToDeleteItem

use reconcile::graph::Node;
use reconcile::{Action, EventRecord, ObjectReference, Op, OwnerReference, Plan};
use serde_json::{Value, json};

use super::state::{FOREGROUND, ORPHAN, Owner, State};

pub(crate) fn decide(state: &State) -> Plan {
    let n = &state.node;
    let is = |want: fn(&Owner) -> bool| state.owners.iter().any(|(_, o)| want(o));
    if is(|o| *o == Owner::Unknowable) {
        return Plan { events: misplaced(state), ..Plan::default() };
    }
    let asks: Vec<Action> = state
        .owners
        .iter()
        .filter_map(|(o, owner)| match owner {
            Owner::Ask { gvr, namespace } => Some(Action::get(gvr.clone(), namespace, &o.name)),
            _ => None,
        })
        .collect();
    if !asks.is_empty() {
        return Plan { events: misplaced(state), ..Plan::of(asks) };
    }
    if is(|o| *o == Owner::Unknown) {
        return Plan { retry: true, ..Plan::default() };
    }
    if is(|o| *o == Owner::Present { waiting: false }) {
        let stays: Vec<&OwnerReference> = state
            .owners
            .iter()
            .filter(|(_, o)| *o == Owner::Present { waiting: false })
            .map(|(r, _)| r)
            .collect();
        if stays.len() == state.owners.len() {
            return Plan::default();
        }
        return Plan::of(vec![set_owners(n, &stays)]);
    }
    let waiting = is(|o| *o == Owner::Present { waiting: true });
    if waiting && !state.dependents.is_empty() {
        let mut plan = Plan::default();
        // Two that are deleted in the foreground and block each other would wait for ever.
        if state.dependents.iter().any(|d| d.deleting && d.has_finalizer(FOREGROUND)) {
            plan.step(unblock(n).into_iter().collect());
            if !plan.steps.is_empty() {
                return plan;
            }
        }
        plan.step(vec![delete(n, "Foreground")]);
        return plan;
    }
    let policy = if n.has_finalizer(ORPHAN) {
        "Orphan"
    } else if n.has_finalizer(FOREGROUND) {
        "Foreground"
    } else {
        "Background"
    };
    Plan::of(vec![delete(n, policy)])
}

/// What users are told of an owner that lives where it can own nothing here.
// k8s: pkg/controller/garbagecollector/graph_builder.go reportInvalidNamespaceOwnerRef
fn misplaced(state: &State) -> Vec<EventRecord> {
    let n = &state.node;
    let about = ObjectReference {
        kind: n.kind.to_string(),
        namespace: n.namespace.to_string(),
        name: n.name.to_string(),
        uid: n.uid.to_string(),
        api_version: n.gvr.api_version(),
        ..ObjectReference::default()
    };
    let event = |o: &OwnerReference| {
        let message = format!(
            "ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace {}",
            o.api_version,
            o.kind,
            n.namespace,
            o.name,
            o.uid,
            meta::field::quoted(&n.namespace),
        );
        EventRecord::warning(about.clone(), "OwnerRefInvalidNamespace", message)
    };
    // One is enough to make somebody look.
    state.misplaced.first().map(event).into_iter().collect()
}

fn delete(n: &Node, propagation: &'static str) -> Action {
    let op = Op::Delete {
        gvr: n.gvr.as_ref().clone(),
        namespace: n.namespace.to_string(),
        name: n.name.to_string(),
        uid: Some(n.uid.clone()),
        // What it was decided on must still hold: somebody may just have given it another owner.
        resource_version: Some(n.resource_version),
        grace_period_seconds: None,
        propagation: Some(propagation),
    };
    Action::from(op).tolerate(&["NotFound"])
}

fn patch(n: &Node, metadata: Value) -> Action {
    let mut metadata = metadata;
    metadata["uid"] = (*n.uid).into();
    metadata["resourceVersion"] = n.resource_version.to_string().into();
    let key = reconcile::Key { namespace: n.namespace.clone(), name: n.name.clone() };
    Action::merge_patch(n.gvr.as_ref().clone(), &key, "", &json!({"metadata": metadata}))
        .tolerate(&["NotFound"])
}

pub(crate) fn set_owners(n: &Node, owners: &[&OwnerReference]) -> Action {
    let value = if owners.is_empty() { Value::Null } else { json!(owners) };
    patch(n, json!({"ownerReferences": value}))
}

pub(crate) fn remove_finalizer(n: &Node, finalizer: &str) -> Action {
    let rest: Vec<&str> = n.finalizers.iter().map(AsRef::as_ref).filter(|f| *f != finalizer).collect();
    patch(n, json!({"finalizers": if rest.is_empty() { Value::Null } else { json!(rest) }}))
}

/// Makes no owner wait for this object.
fn unblock(n: &Node) -> Option<Action> {
    if !n.owners.iter().any(|o| o.block_owner_deletion == Some(true)) {
        return None;
    }
    let owners: Vec<OwnerReference> = n
        .owners
        .iter()
        .map(|o| OwnerReference { block_owner_deletion: o.block_owner_deletion.map(|_| false), ..o.clone() })
        .collect();
    Some(set_owners(n, &owners.iter().collect::<Vec<_>>()))
}

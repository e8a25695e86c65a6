//! The writes that bring slices to what they are to be.

use std::collections::BTreeSet;

use reconcile::{Action, StrMap};
use serde_json::{Value, json};

use super::endpoints::Group;
use super::state::State;
use super::types::{ENDPOINTSLICES, EndpointSlice, MANAGED_BY, MANAGER, SERVICE_NAME};
use crate::core::service::{HEADLESS, Service, TRIGGER_TIME, trigger_time};
use crate::owners::controller_ref;
use crate::safe::{Fnv, generated};

/// The labels of the service's slices.
pub(crate) fn labels(s: &Service) -> StrMap {
    let reserved = |k: &str| k == SERVICE_NAME || k == MANAGED_BY || k == HEADLESS;
    let own = s.metadata.labels.iter().filter(|(k, _)| !reserved(k));
    let headless = s.headless().then_some((HEADLESS, ""));
    own.chain([(SERVICE_NAME, &*s.metadata.name), (MANAGED_BY, MANAGER)]).chain(headless).collect()
}

fn body(state: &State, mut metadata: Value, family: &str, (ports, endpoints): &Group) -> Value {
    let s = &state.service;
    metadata["namespace"] = (*s.metadata.namespace).into();
    metadata["labels"] = json!(labels(s));
    metadata["ownerReferences"] = json!([controller_ref("v1", "Service", &s.metadata)]);
    metadata["annotations"][TRIGGER_TIME] = trigger_time(s, state.pods.iter().map(|b| &*b.pod));
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata,
        "addressType": family, "endpoints": endpoints, "ports": ports,
    })
}

/// A new slice, under a name that is not among those taken.
pub(crate) fn create(state: &State, family: &str, group: &Group, taken: &mut BTreeSet<String>) -> Action {
    let m = &state.service.metadata;
    let mut base = Fnv::default();
    base.text(&m.uid);
    base.text(family);
    base.value(&json!(group.0));
    let mut name = String::new();
    for i in 0u32..1000 {
        let mut h = base;
        h.write(&i.to_le_bytes());
        name = generated(&format!("{}-", m.name), h.finish());
        if taken.insert(name.clone()) {
            break;
        }
    }
    let body = body(state, json!({"name": name, "annotations": {}}), family, group);
    Action::create(ENDPOINTSLICES, &m.namespace, &name, &body)
}

/// The slice with other endpoints, or ports.
pub(crate) fn replace(state: &State, slice: &EndpointSlice, group: &Group) -> Action {
    let m = &slice.metadata;
    let metadata = json!({
        "name": m.name, "uid": m.uid, "resourceVersion": m.resource_version.to_string(),
        "annotations": m.annotations,
    });
    let body = body(state, metadata, &slice.address_type, group);
    Action::update(ENDPOINTSLICES, &m.key(), "", &body).tolerate(&["NotFound"])
}

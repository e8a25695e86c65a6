//! Spreading endpoints over slices with few writes: an endpoint stays in its slice, new ones fill slices
//! that have room, what is empty goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reconcile::{Action, StrMap};
use serde_json::{Value, json};

use super::types::{ENDPOINTSLICES, Endpoint, EndpointSlice};
use super::{State, labels, trigger_time, wanted};
use crate::core::service::{EndpointPort, TRIGGER_TIME};
use crate::owners::controller_ref;
use crate::safe::{Fnv, generated};

/// Endpoints in a slice.
pub(crate) const MAX_ENDPOINTS: usize = 100;

/// Plans the slices of one address family.
pub(crate) fn settle(state: &State, family: &str, actions: &mut Vec<Action>) {
    let mut groups = wanted(state, family);
    if groups.is_empty() {
        // A slice without endpoints says that the service was looked at.
        groups.push((Vec::new(), Vec::new()));
    }
    let mut kept: BTreeSet<&str> = BTreeSet::new();
    let mut taken: BTreeSet<String> = state.slices.iter().map(|s| s.metadata.name.to_string()).collect();
    for (ports, endpoints) in &groups {
        let have: Vec<&Arc<EndpointSlice>> =
            state.slices.iter().filter(|s| &*s.address_type == family && s.ports == *ports).collect();
        let (filled, rest) = fill(&have, endpoints);
        for (slice, endpoints) in have.iter().zip(filled) {
            let only_one = groups.len() == 1 && rest.is_empty() && kept.is_empty();
            if endpoints.is_empty() && !(only_one && is_last(&have, slice, &groups)) {
                continue;
            }
            kept.insert(&slice.metadata.name);
            if endpoints != slice.endpoints || labels(&state.service) != slice.metadata.labels {
                actions.push(replace(state, slice, &endpoints));
            }
        }
        let none = kept.is_empty() && endpoints.is_empty();
        let fresh: Vec<&[Endpoint]> = if none { vec![&[]] } else { rest.chunks(MAX_ENDPOINTS).collect() };
        for chunk in fresh {
            actions.push(create(state, family, ports, chunk, &mut taken));
        }
    }
    for s in state.slices.iter().filter(|s| &*s.address_type == family) {
        if !kept.contains(&*s.metadata.name) {
            actions.push(Action::delete(ENDPOINTSLICES, &s.metadata));
        }
    }
}

/// Whether an empty slice must stay because there would be none without it.
fn is_last(
    have: &[&Arc<EndpointSlice>],
    slice: &EndpointSlice,
    groups: &[(Vec<EndpointPort>, Vec<Endpoint>)],
) -> bool {
    groups.iter().all(|(_, e)| e.is_empty())
        && have.last().is_some_and(|l| l.metadata.name == slice.metadata.name)
}

/// What each slice is to hold, and what finds no room in them.
fn fill(have: &[&Arc<EndpointSlice>], wanted: &[Endpoint]) -> (Vec<Vec<Endpoint>>, Vec<Endpoint>) {
    let id = |e: &Endpoint| e.target_uid().map_or_else(|| e.addresses.join(","), str::to_owned);
    let mut left: BTreeMap<String, &Endpoint> = wanted.iter().map(|e| (id(e), e)).collect();
    let mut filled: Vec<Vec<Endpoint>> = have
        .iter()
        .map(|s| s.endpoints.iter().filter_map(|e| left.remove(&id(e)).cloned()).collect())
        .collect();
    let mut rest: Vec<Endpoint> = wanted.iter().filter(|e| left.contains_key(&id(e))).cloned().collect();
    // Slices that are written anyway take new endpoints first.
    let mut order: Vec<usize> = (0..have.len()).collect();
    order.sort_by_key(|i| (filled[*i] == have[*i].endpoints, std::cmp::Reverse(filled[*i].len())));
    for i in order {
        let room = MAX_ENDPOINTS.saturating_sub(filled[i].len()).min(rest.len());
        filled[i].extend(rest.drain(..room));
    }
    (filled, rest)
}

/// Plans the deletion of slices of families that the service no longer has.
pub(crate) fn drop_other_families(state: &State, actions: &mut Vec<Action>) {
    let families = state.service.families();
    let other = state.slices.iter().filter(|s| !families.contains(&&*s.address_type));
    actions.extend(other.map(|s| Action::delete(ENDPOINTSLICES, &s.metadata)));
}

fn body(state: &State, mut metadata: Value, family: &str, ports: &[EndpointPort], e: &[Endpoint]) -> Value {
    let s = &state.service;
    metadata["namespace"] = (*s.metadata.namespace).into();
    metadata["labels"] = json!(labels(s));
    metadata["ownerReferences"] = json!([controller_ref("v1", "Service", &s.metadata)]);
    metadata["annotations"][TRIGGER_TIME] = trigger_time(s, state.pods.iter().map(|(p, _)| &**p));
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata,
        "addressType": family, "endpoints": e, "ports": ports,
    })
}

fn create(
    state: &State,
    family: &str,
    ports: &[EndpointPort],
    endpoints: &[Endpoint],
    taken: &mut BTreeSet<String>,
) -> Action {
    let m = &state.service.metadata;
    let mut base = Fnv::default();
    base.text(&m.uid);
    base.text(family);
    base.value(&json!(ports));
    let mut name = String::new();
    for i in 0u32..1000 {
        let mut h = base;
        h.write(&i.to_le_bytes());
        name = generated(&format!("{}-", m.name), h.finish());
        if taken.insert(name.clone()) {
            break;
        }
    }
    let body = body(state, json!({"name": name, "annotations": {}}), family, ports, endpoints);
    Action::create(ENDPOINTSLICES, &m.namespace, &name, &body)
}

fn replace(state: &State, slice: &EndpointSlice, endpoints: &[Endpoint]) -> Action {
    let m = &slice.metadata;
    let annotations: StrMap = m.annotations.clone();
    let metadata = json!({
        "name": m.name, "uid": m.uid, "resourceVersion": m.resource_version.to_string(),
        "annotations": annotations,
    });
    let body = body(state, metadata, &slice.address_type, &slice.ports, endpoints);
    Action::update(ENDPOINTSLICES, &m.key(), "", &body).tolerate(&["NotFound"])
}

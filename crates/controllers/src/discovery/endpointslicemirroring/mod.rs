//! EndpointSlice mirroring: whoever writes Endpoints by hand for a service without a selector gets slices of
//! them, which is all that proxies and DNS read.
//!
//! Reads services, endpoints and its own slices. It must leave alone endpoints of services with a selector,
//! and those that say `endpointslice.kubernetes.io/skip-mirror: "true"`.
// k8s: pkg/controller/endpointslicemirroring/endpointslicemirroring_controller.go, reconciler.go

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{
    Action, Answers, Caches, Controller, Delta, EventRecord, Interests, Key, KeySink, ObjectReference, Plan,
    StrMap,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::core::endpoints::Endpoints;
use crate::core::service::{EndpointPort, Service, TRIGGER_TIME};
use crate::discovery::endpointslice::types::{
    BY_SERVICE, Conditions, ENDPOINTSLICES, Endpoint, EndpointSlice, MANAGED_BY, SERVICE_NAME,
};
use crate::owners::controller_ref;
use crate::safe::{Fnv, generated};

/// What the label of mirrored slices says.
pub const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Addresses of one subset that are mirrored; more are left out.
const MAX_ADDRESSES: usize = 1000;

/// The controller. Its keys are those of Endpoints.
pub struct EndpointSliceMirroring;

/// What a decision depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The endpoints, when they are to be mirrored.
    pub endpoints: Option<Arc<Endpoints>>,
    /// The slices that this controller made for them.
    pub slices: Vec<Arc<EndpointSlice>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subset {
    addresses: Vec<Address>,
    not_ready_addresses: Vec<Address>,
    ports: Vec<EndpointPort>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Address {
    ip: String,
    hostname: Option<String>,
    node_name: Option<String>,
    target_ref: Option<Value>,
}

/// The endpoints of each family and list of ports, and what was left out.
#[derive(Default)]
struct Wanted {
    groups: BTreeMap<(&'static str, Vec<EndpointPort>), Vec<Endpoint>>,
    invalid: usize,
    skipped: usize,
}

fn mirrored(s: &EndpointSlice) -> bool {
    s.metadata.labels.get(MANAGED_BY) == Some(MANAGER)
}

fn own_slice(delta: &Delta<EndpointSlice>, _: &Caches, sink: &mut KeySink) {
    for s in delta.both().filter(|s| mirrored(s)) {
        if let Some(service) = s.metadata.labels.get(SERVICE_NAME) {
            sink.add(Key::new(&s.metadata.namespace, service));
        }
    }
}

impl Controller for EndpointSliceMirroring {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "endpoint-slice-mirroring-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Endpoints>();
        i.own::<Service>();
        i.on::<EndpointSlice>(own_slice);
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let index = format!("{}/{}", key.namespace, key.name);
        let slices = caches.kind::<EndpointSlice>().by_index(BY_SERVICE, &index);
        let slices = slices.filter(|s| mirrored(s) && !s.metadata.deleting()).cloned().collect();
        let service = caches.kind::<Service>().by_key(key).filter(|s| s.spec.selector.is_empty());
        let endpoints = caches.kind::<Endpoints>().by_key(key).filter(|e| service.is_some() && mirrors(e));
        Some(State { endpoints: endpoints.cloned(), slices })
    }

    fn reconcile(&self, state: &State, _: &mut (), _: Timestamp) -> Plan {
        let Some(e) = &state.endpoints else {
            return Plan::of(
                state.slices.iter().map(|s| Action::delete(ENDPOINTSLICES, &s.metadata)).collect(),
            );
        };
        let wanted = wanted(&e.subsets);
        let mut plan = Plan::default();
        for actions in settle(e, &wanted, &state.slices) {
            plan.step(actions);
        }
        // Said once for each change, not at every look.
        if let Some(last) = plan.steps.last_mut().and_then(|s| s.actions.last_mut()) {
            *last = with_event(last.clone(), e, &wanted);
        }
        plan
    }
}

/// Whether these endpoints are somebody's word on a service, and not a lock or somebody else's mirror.
fn mirrors(e: &Endpoints) -> bool {
    e.metadata.labels.get(SKIP) != Some("true") && e.metadata.annotations.get(LEADER).is_none()
}

fn wanted(subsets: &Value) -> Wanted {
    let subsets: Vec<Subset> = meta::json::of(subsets).unwrap_or_default();
    let mut out = Wanted::default();
    for s in subsets {
        let mut room = MAX_ADDRESSES;
        let ready = s.addresses.iter().map(|a| (a, true));
        for (address, ready) in ready.chain(s.not_ready_addresses.iter().map(|a| (a, false))) {
            let Ok(ip) = address.ip.parse::<IpAddr>() else {
                out.invalid += 1;
                continue;
            };
            if room == 0 {
                out.skipped += 1;
                continue;
            }
            room -= 1;
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let mut ports = s.ports.clone();
            ports.sort();
            out.groups.entry((family, ports)).or_default().push(endpoint(address, ready));
        }
    }
    for list in out.groups.values_mut() {
        list.sort_by(|a, b| a.addresses.cmp(&b.addresses));
        list.dedup_by(|a, b| a.addresses == b.addresses);
        list.truncate(MAX_ADDRESSES);
    }
    out
}

fn endpoint(a: &Address, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![a.ip.clone()],
        conditions: Conditions { ready: Some(ready), ..Conditions::default() },
        hostname: a.hostname.clone().filter(|h| !h.is_empty()),
        node_name: a.node_name.clone(),
        target_ref: a.target_ref.clone(),
        ..Endpoint::default()
    }
}

/// One slice for each group; slices that no group needs take the place of new ones, or go. What goes, goes when
/// all else is there: creates, updates, deletes.
fn settle(e: &Endpoints, wanted: &Wanted, have: &[Arc<EndpointSlice>]) -> [Vec<Action>; 3] {
    let (mut creates, mut updates) = (Vec::new(), Vec::new());
    let mut spare: Vec<&Arc<EndpointSlice>> = have.iter().collect();
    let mut missing = Vec::new();
    for ((family, ports), endpoints) in &wanted.groups {
        let same = |s: &&Arc<EndpointSlice>| {
            let mut own = s.ports.clone();
            own.sort();
            &*s.address_type == *family && own == *ports
        };
        let Some(at) = spare.iter().position(same) else {
            missing.push((*family, ports, endpoints));
            continue;
        };
        let slice = spare.remove(at);
        if !shows(slice, endpoints) || !annotated(slice, e) || slice.metadata.labels != labels(e) {
            updates.push(replace(e, slice, ports, endpoints));
        }
    }
    for (family, ports, endpoints) in missing {
        let at = spare.iter().position(|s| &*s.address_type == family);
        match at.map(|at| spare.remove(at)) {
            Some(slice) => updates.push(replace(e, slice, ports, endpoints)),
            None if e.metadata.deleting() => {}
            None => creates.push(create(e, family, ports, endpoints)),
        }
    }
    let deletes = spare.into_iter().map(|s| Action::delete(ENDPOINTSLICES, &s.metadata)).collect();
    [creates, updates, deletes]
}

fn shows(slice: &EndpointSlice, endpoints: &[Endpoint]) -> bool {
    let mut own = slice.endpoints.clone();
    own.sort_by(|a, b| a.addresses.cmp(&b.addresses));
    own == endpoints
}

fn annotated(slice: &EndpointSlice, e: &Endpoints) -> bool {
    let own: StrMap = slice.metadata.annotations.iter().filter(|(k, _)| *k != TRIGGER_TIME).collect();
    own == annotations(e)
}

/// Those of the endpoints that are no business of theirs alone.
fn annotations(e: &Endpoints) -> StrMap {
    e.metadata.annotations.iter().filter(|(k, _)| *k != TRIGGER_TIME && *k != LAST_APPLIED).collect()
}

fn labels(e: &Endpoints) -> StrMap {
    let own = e.metadata.labels.iter().filter(|(k, _)| *k != SERVICE_NAME && *k != MANAGED_BY);
    own.chain([(SERVICE_NAME, &*e.metadata.name), (MANAGED_BY, MANAGER)]).collect()
}

fn body(
    e: &Endpoints,
    mut metadata: Value,
    family: &str,
    ports: &[EndpointPort],
    list: &[Endpoint],
) -> Value {
    metadata["namespace"] = (*e.metadata.namespace).into();
    metadata["labels"] = json!(labels(e));
    metadata["annotations"] = json!(annotations(e));
    metadata["ownerReferences"] = json!([controller_ref("v1", "Endpoints", &e.metadata)]);
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata,
        "addressType": family, "endpoints": list, "ports": ports,
    })
}

fn create(e: &Endpoints, family: &str, ports: &[EndpointPort], list: &[Endpoint]) -> Action {
    let m = &e.metadata;
    let mut hash = Fnv::default();
    hash.text(&m.uid);
    hash.text(family);
    hash.value(&json!(ports));
    let name = generated(&format!("{}-", m.name), hash.finish());
    let body = body(e, json!({"name": name}), family, ports, list);
    Action::create(ENDPOINTSLICES, &m.namespace, &name, &body)
}

fn replace(e: &Endpoints, slice: &EndpointSlice, ports: &[EndpointPort], list: &[Endpoint]) -> Action {
    let m = &slice.metadata;
    let metadata = json!({"name": m.name, "uid": m.uid, "resourceVersion": m.resource_version.to_string()});
    let body = body(e, metadata, &slice.address_type, ports, list);
    Action::update(ENDPOINTSLICES, &m.key(), "", &body).tolerate(&["NotFound"])
}

/// Says on the endpoints what was not mirrored.
fn with_event(action: Action, e: &Endpoints, wanted: &Wanted) -> Action {
    let about = ObjectReference::to("v1", "Endpoints", &e.metadata);
    if wanted.skipped > 0 {
        let message = format!(
            "A max of {MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. {} \
             addresses were skipped",
            wanted.skipped + wanted.invalid
        );
        return action.on_ok(EventRecord::warning(about, "TooManyAddressesToMirror", message));
    }
    if wanted.invalid > 0 {
        let message =
            format!("Skipped {} invalid IP addresses when mirroring to EndpointSlices", wanted.invalid);
        return action.on_ok(EventRecord::warning(about, "InvalidIPAddress", message));
    }
    action
}

//! Endpoints: the older form of what endpoint slices say, one object for each service.
//!
//! Reads services, pods and endpoints. It must leave alone services without a selector, whose endpoints are
//! somebody else's; but when a service goes, so do its endpoints, whoever made them.
// k8s: pkg/controller/endpoint/endpoints_controller.go

use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{
    Action, Answers, Caches, Controller, Delta, EventRecord, Interests, Key, KeySink, ObjectMeta,
    ObjectReference, Plan, Projection, StrMap,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::core::pod::Pod;
use crate::core::service::{
    EndpointPort, HEADLESS, Service, TRIGGER_TIME, address, backing, concerned, trigger_time,
};

/// `endpoints`.
pub const ENDPOINTS: Gvr = Gvr::new("", "v1", "endpoints");
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses in one object; more are left out.
const MAX_ADDRESSES: usize = 1000;

/// The controller.
pub struct EndpointsController;

/// An Endpoints object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    pub metadata: ObjectMeta,
    pub subsets: Value,
}

impl Projection for Endpoints {
    const GVR: Gvr = ENDPOINTS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// What a decision on a service's endpoints depends on.
#[derive(Clone, Debug)]
pub enum State {
    Serves(Serving),
    /// The service is gone, the endpoints are still there.
    Orphan(Arc<Endpoints>),
}

/// A service that selects pods.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    pub service: Arc<Service>,
    pub pods: Vec<Arc<Pod>>,
    pub endpoints: Option<Arc<Endpoints>>,
}

#[derive(Default)]
struct Subset {
    ports: Vec<EndpointPort>,
    ready: Vec<Value>,
    not_ready: Vec<Value>,
}

impl Controller for EndpointsController {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "endpoint-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Service>();
        i.on::<Pod>(concerned);
        i.on::<Endpoints>(of_service);
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let endpoints = caches.kind::<Endpoints>().by_key(key).cloned();
        let Some(service) = caches.kind::<Service>().by_key(key).cloned() else {
            return endpoints.map(State::Orphan);
        };
        let state = Serving { pods: backing(&service, caches), endpoints, service };
        state.service.selects().then_some(State::Serves(state))
    }

    fn reconcile(&self, state: &State, _: &mut (), _: Timestamp) -> Plan {
        let state = match state {
            State::Serves(state) => state,
            State::Orphan(e) => return Plan::of(vec![Action::delete(ENDPOINTS, &e.metadata)]),
        };
        let s = &state.service;
        let (subsets, truncated) = subsets(state);
        let wanted = labels(s);
        let have = state.endpoints.as_deref();
        let over = have.and_then(|e| e.metadata.annotations.get(OVER_CAPACITY)).is_some();
        let same = |e: &Endpoints| {
            (e.subsets == subsets || (e.subsets.is_null() && subsets == json!([])))
                && e.metadata.labels == wanted
        };
        if have.is_some_and(same) && over == truncated {
            return Plan::default();
        }
        let mut metadata = json!({
            "name": s.metadata.name, "namespace": s.metadata.namespace, "labels": wanted,
            "annotations": {TRIGGER_TIME: trigger_time(s, state.pods.iter().map(|p| &**p))},
        });
        if truncated {
            metadata["annotations"][OVER_CAPACITY] = "truncated".into();
        } else if over {
            metadata["annotations"][OVER_CAPACITY] = Value::Null;
        }
        let Some(e) = have else {
            let body =
                json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": metadata, "subsets": subsets});
            let action = Action::create(ENDPOINTS, &s.metadata.namespace, &s.metadata.name, &body);
            return Plan::of(vec![action.on_err(refused(
                s,
                "FailedToCreateEndpoint",
                "create endpoint for service",
            ))]);
        };
        for (k, _) in e.metadata.labels.iter().filter(|(k, _)| wanted.get(k).is_none()) {
            metadata["labels"][k] = Value::Null;
        }
        metadata["resourceVersion"] = e.metadata.resource_version.to_string().into();
        let body = json!({"metadata": metadata, "subsets": subsets});
        let action = Action::merge_patch(ENDPOINTS, &e.metadata.key(), "", &body).tolerate(&["NotFound"]);
        Plan::of(vec![action.on_err(refused(s, "FailedToUpdateEndpoint", "update endpoint"))])
    }
}

/// What users are told on the endpoints when a write of them fails.
fn refused(s: &Service, reason: &'static str, what: &str) -> EventRecord {
    let m = &s.metadata;
    let about = ObjectReference {
        kind: "Endpoints".to_owned(),
        api_version: "v1".to_owned(),
        namespace: m.namespace.to_string(),
        name: m.name.to_string(),
        ..ObjectReference::default()
    };
    EventRecord::warning(about, reason, format!("Failed to {what} {}/{}: {{error}}", m.namespace, m.name))
}

/// Endpoints concern the controller when there is a service of their name, when they went, or when they are its
/// own. What somebody makes for no service stays.
fn of_service(delta: &Delta<Endpoints>, caches: &Caches, sink: &mut KeySink) {
    let Some(e) = delta.latest() else { return };
    let key = e.metadata.key();
    let ours = e.metadata.labels.get(MANAGED_BY) == Some(MANAGER);
    if ours || delta.new.is_none() || caches.kind::<Service>().by_key(&key).is_some() {
        sink.add(key);
    }
}

fn labels(s: &Service) -> StrMap {
    let headless = s.headless().then_some((HEADLESS, ""));
    let own = s.metadata.labels.iter().filter(|(k, _)| *k != HEADLESS && *k != MANAGED_BY);
    own.chain([(MANAGED_BY, MANAGER)]).chain(headless).collect()
}

/// The subsets, and whether some addresses had to be left out.
fn subsets(state: &Serving) -> (Value, bool) {
    let s = &state.service;
    let family = s.families().first().copied().unwrap_or("IPv4").to_owned();
    let mut subsets: Vec<Subset> = Vec::new();
    for p in &state.pods {
        let publish = s.spec.publish_not_ready_addresses;
        let Some(ip) = address(p, &family).filter(|_| publish || !p.metadata.deleting()) else { continue };
        let ports = s.resolve(p);
        if ports.is_empty() && !s.spec.ports.is_empty() {
            continue;
        }
        let at = subsets.iter().position(|x| x.ports == ports).unwrap_or_else(|| {
            subsets.push(Subset { ports, ..Subset::default() });
            subsets.len() - 1
        });
        let list = if publish || p.ready() { &mut subsets[at].ready } else { &mut subsets[at].not_ready };
        list.push(entry(s, p, ip));
    }
    let total: usize = subsets.iter().map(|x| x.ready.len() + x.not_ready.len()).sum();
    let mut room = MAX_ADDRESSES;
    // Ready addresses are kept before others.
    for list in subsets.iter_mut().map(|x| &mut x.ready) {
        list.truncate(room);
        room -= list.len();
    }
    for list in subsets.iter_mut().map(|x| &mut x.not_ready) {
        list.truncate(room);
        room -= list.len();
    }
    (Value::Array(subsets.into_iter().map(to_value).collect()), total > MAX_ADDRESSES)
}

fn entry(s: &Service, p: &Pod, ip: &str) -> Value {
    let mut v = json!({"ip": ip});
    if s.publishes_hostname(p) {
        v["hostname"] = (*p.spec.hostname).into();
    }
    if !p.spec.node_name.is_empty() {
        v["nodeName"] = (*p.spec.node_name).into();
    }
    let m = &p.metadata;
    v["targetRef"] = json!({"kind": "Pod", "namespace": m.namespace, "name": m.name, "uid": m.uid});
    v
}

fn to_value(x: Subset) -> Value {
    let mut v = json!({});
    for (name, list) in [("addresses", x.ready), ("notReadyAddresses", x.not_ready)] {
        if !list.is_empty() {
            v[name] = list.into();
        }
    }
    if !x.ports.is_empty() {
        v["ports"] = x.ports.iter().map(port).collect();
    }
    v
}

fn port(p: &EndpointPort) -> Value {
    let mut v = json!({"port": p.port, "protocol": p.protocol});
    if !p.name.is_empty() {
        v["name"] = p.name.as_str().into();
    }
    if let Some(a) = &p.app_protocol {
        v["appProtocol"] = a.as_str().into();
    }
    v
}

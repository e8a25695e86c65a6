//! EndpointSlice: says behind which addresses the pods of a service are, in slices of at most a hundred.
//!
//! Reads services, pods, nodes and its own slices. It must leave alone slices that others manage, and
//! services without a selector.
// k8s: staging/src/k8s.io/endpointslice/reconciler.go

mod slices;
pub mod types;

use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Answers, Caches, Controller, Delta, Interests, Key, KeySink, Op, Plan, StrMap, time};
use serde_json::{Value, json};

use self::types::{BY_SERVICE, Conditions, Endpoint, EndpointSlice, MANAGED_BY, MANAGER, SERVICE_NAME};
use crate::core::node::Node;
use crate::core::pod::Pod;
use crate::core::service::{EndpointPort, HEADLESS, Service, address, backing, concerned};

const ZONE: &str = "topology.kubernetes.io/zone";

/// The controller.
pub struct EndpointSlices;

/// What a decision on a service's slices depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub service: Arc<Service>,
    /// Selected pods with an address, and the zone of their node.
    pub pods: Vec<(Arc<Pod>, Option<Box<str>>)>,
    /// The slices that this controller made for the service.
    pub slices: Vec<Arc<EndpointSlice>>,
}

fn own_slice(delta: &Delta<EndpointSlice>, _: &Caches, sink: &mut KeySink) {
    for s in delta.both() {
        if s.ours()
            && let Some(service) = s.metadata.labels.get(SERVICE_NAME)
        {
            sink.add(Key::new(&s.metadata.namespace, service));
        }
    }
}

impl Controller for EndpointSlices {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Service>();
        i.on::<Pod>(concerned);
        i.on::<EndpointSlice>(own_slice);
        i.read::<Node>();
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let service = caches.kind::<Service>().by_key(key)?.clone();
        if !service.selects() {
            return None;
        }
        let nodes = caches.kind::<Node>();
        let zone = |p: &Pod| {
            let node = nodes.get("", &p.spec.node_name)?;
            node.metadata.labels.get(ZONE).map(Into::into)
        };
        let pods = backing(&service, caches).into_iter().map(|p| (p.clone(), zone(&p))).collect();
        let index = format!("{}/{}", key.namespace, key.name);
        let slices = caches.kind::<EndpointSlice>().by_index(BY_SERVICE, &index);
        let slices = slices.filter(|s| s.ours() && !s.metadata.deleting()).cloned().collect();
        Some(State { service, pods, slices })
    }

    fn reconcile(&self, state: &State, _: &mut (), _: Timestamp) -> Plan {
        let mut actions = Vec::new();
        for family in state.service.families() {
            slices::settle(state, family, &mut actions);
        }
        slices::drop_other_families(state, &mut actions);
        if state.service.metadata.deleting() {
            // The garbage collector is taking the slices away.
            actions.retain(|a| !matches!(a.op, Op::Create { .. }));
        }
        Plan::of(actions)
    }
}

/// A pod as an endpoint of the service.
fn endpoint(s: &Service, p: &Pod, zone: Option<&str>, ip: &str) -> Endpoint {
    let (serving, terminating) = (p.ready(), p.metadata.deleting());
    Endpoint {
        addresses: vec![ip.to_owned()],
        conditions: Conditions {
            ready: Some(s.spec.publish_not_ready_addresses || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        hostname: s.publishes_hostname(p).then(|| p.spec.hostname.to_string()),
        node_name: (!p.spec.node_name.is_empty()).then(|| p.spec.node_name.to_string()),
        target_ref: Some(json!({
            "kind": "Pod", "namespace": p.metadata.namespace, "name": p.metadata.name, "uid": p.metadata.uid,
        })),
        zone: zone.map(str::to_owned),
        hints: None,
    }
}

/// The service's pods of an address family, by the ports that they have.
pub(crate) fn wanted(state: &State, family: &str) -> Vec<(Vec<EndpointPort>, Vec<Endpoint>)> {
    let s = &state.service;
    let mut groups: Vec<(Vec<EndpointPort>, Vec<Endpoint>)> = Vec::new();
    for (p, zone) in &state.pods {
        let Some(ip) = address(p, family) else { continue };
        let ports = s.resolve(p);
        if ports.is_empty() && !s.spec.ports.is_empty() {
            continue;
        }
        let e = endpoint(s, p, zone.as_deref(), ip);
        match groups.iter_mut().find(|(g, _)| *g == ports) {
            Some((_, endpoints)) => endpoints.push(e),
            None => groups.push((ports, vec![e])),
        }
    }
    groups
}

/// The labels of the service's slices.
fn labels(s: &Service) -> StrMap {
    let reserved = |k: &str| k == SERVICE_NAME || k == MANAGED_BY || k == HEADLESS;
    let own = s.metadata.labels.iter().filter(|(k, _)| !reserved(k));
    let headless = s.headless().then_some((HEADLESS, ""));
    own.chain([(SERVICE_NAME, &*s.metadata.name), (MANAGED_BY, MANAGER)]).chain(headless).collect()
}

/// When the newest change happened that the endpoints show.
pub(crate) fn trigger_time<'a>(s: &Service, pods: impl Iterator<Item = &'a Pod>) -> Value {
    let times = pods.flat_map(|p| {
        let ready = crate::core::condition::find(&p.status.conditions, "Ready");
        [ready.and_then(|c| c.last_transition_time), p.metadata.deletion_timestamp]
    });
    times.flatten().chain(s.metadata.creation_timestamp).max().map(time::rfc3339).into()
}

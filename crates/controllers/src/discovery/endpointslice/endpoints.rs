//! Pods as the endpoints of a service, by the ports that they have.

use serde_json::json;

use super::state::{Backend, State};
use super::types::{Conditions, Endpoint};
use crate::core::service::{EndpointPort, Service, address};

/// Endpoints that share their ports.
pub(crate) type Group = (Vec<EndpointPort>, Vec<Endpoint>);

/// A pod as an endpoint of the service.
// k8s: staging/src/k8s.io/endpointslice/utils.go podToEndpoint
fn endpoint(s: &Service, b: &Backend, ip: &str) -> Endpoint {
    let p = &b.pod;
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
        zone: b.zone.as_deref().map(str::to_owned),
        hints: None,
    }
}

/// Whether a pod is left out for now because nothing is known of its node.
pub(crate) fn left_out(s: &Service, b: &Backend) -> bool {
    !b.node_known && !s.spec.publish_not_ready_addresses
}

/// The service's pods of an address family, by the ports that they have. A pod that has none of the service's
/// named ports is an endpoint without ports.
// k8s: staging/src/k8s.io/endpointslice/reconciler.go reconcileByAddressType
pub(crate) fn wanted(state: &State, family: &str) -> Vec<Group> {
    let s = &state.service;
    let mut groups: Vec<Group> = Vec::new();
    for b in state.pods.iter().filter(|b| !left_out(s, b)) {
        let Some(ip) = address(&b.pod, family) else { continue };
        let ports = s.resolve(&b.pod);
        let e = endpoint(s, b, ip);
        match groups.iter_mut().find(|(g, _)| *g == ports) {
            Some((_, endpoints)) => endpoints.push(e),
            None => groups.push((ports, vec![e])),
        }
    }
    groups
}

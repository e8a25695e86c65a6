//! What load balancers are told of a node: whether a Service with policy Local has endpoints on it. Pure: the caller
//! listens and answers.
// k8s: pkg/proxy/healthcheck/service_health.go

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::model::{EndpointSlice, Service};
use crate::services::{Place, SERVICE_NAME_LABEL};

/// What is said at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub namespace: String,
    pub service: String,
    /// Ready endpoints on this node.
    pub endpoints: usize,
}

impl Check {
    /// The HTTP status: only nodes that answer 200 are sent traffic.
    #[must_use]
    pub fn code(&self) -> u16 {
        if self.endpoints > 0 { 200 } else { 503 }
    }

    /// The body, with upstream's fields.
    #[must_use]
    pub fn body(&self) -> String {
        serde_json::json!({
            "service": {"namespace": self.namespace, "name": self.service},
            "localEndpoints": self.endpoints,
            "serviceProxyHealthy": true,
        })
        .to_string()
    }
}

/// By port, what is to be said.
#[must_use]
pub fn checks<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    place: &Place<'_>,
) -> BTreeMap<u16, Check> {
    let mut local: BTreeMap<(&str, &str), BTreeSet<Ipv4Addr>> = BTreeMap::new();
    for slice in slices.into_iter().filter(|s| s.address_type == "IPv4") {
        let Some(service) = slice.metadata.labels.get(SERVICE_NAME_LABEL) else { continue };
        let here = slice.endpoints.iter().filter(|e| e.node_name == place.node && !place.node.is_empty());
        let ready = here.filter(|e| e.conditions.ready.unwrap_or(true));
        let ips = ready.filter_map(|e| e.addresses.first()?.parse::<Ipv4Addr>().ok());
        local.entry((&slice.metadata.namespace, service)).or_default().extend(ips);
    }
    let checked = services.into_iter().filter(|s| {
        s.spec.kind == "LoadBalancer"
            && s.spec.external_traffic_policy == "Local"
            && s.spec.health_check_node_port != 0
    });
    checked
        .map(|s| {
            let (namespace, service) = (s.metadata.namespace.as_str(), s.metadata.name.as_str());
            let endpoints = local.get(&(namespace, service)).map_or(0, BTreeSet::len);
            let check = Check { namespace: namespace.to_owned(), service: service.to_owned(), endpoints };
            (s.spec.health_check_node_port, check)
        })
        .collect()
}

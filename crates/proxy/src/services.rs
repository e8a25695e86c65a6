//! Services and their slices to the flat list the rules are made of: one entry a service port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::model::{EndpointSlice, Hints, Port, Service, SliceEndpoint};
use crate::range::Range;

/// The label that ties a slice to its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// Upstream's default for `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_TIMEOUT_S: u32 = 10_800;

/// Transport protocol of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// As packet rules spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }

    fn parse(s: &str) -> Option<Self> {
        match s {
            "" | "TCP" => Some(Protocol::Tcp),
            "UDP" => Some(Protocol::Udp),
            "SCTP" => Some(Protocol::Sctp),
            _ => None,
        }
    }
}

/// The node whose rules are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place<'a> {
    pub node: &'a str,
    /// The value of its label `topology.kubernetes.io/zone`; empty: none.
    pub zone: &'a str,
}

/// One address behind a service port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub ip: Ipv4Addr,
    pub port: u16,
    /// On the node whose rules are made.
    pub local: bool,
}

/// One port of one Service, with everything its rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    pub namespace: String,
    pub service: String,
    /// Name of the port, may be empty.
    pub port_name: String,
    pub protocol: Protocol,
    pub port: u16,
    pub cluster_ip: Option<Ipv4Addr>,
    /// External IPs and load-balancer addresses.
    pub external_ips: Vec<Ipv4Addr>,
    /// The load-balancer addresses among them.
    pub balancer_ips: Vec<Ipv4Addr>,
    /// The only sources that may use the load-balancer addresses, as `address/length`; `None`: all.
    pub balancer_sources: Option<Vec<String>>,
    /// 0: none.
    pub node_port: u16,
    /// Usable endpoints, sorted: the ready ones, or when none is ready those that still serve while they terminate.
    /// Where hints say so, of the ready ones those for this node or this zone.
    pub endpoints: Vec<Endpoint>,
    /// The same choice made among local endpoints alone.
    pub local_endpoints: Vec<Endpoint>,
    /// Of a UDP port: address and port of every endpoint that serves, also while it terminates.
    pub serving: BTreeSet<(Ipv4Addr, u16)>,
    pub external_local: bool,
    pub internal_local: bool,
    /// ClientIP affinity and its timeout in seconds.
    pub affinity_s: Option<u32>,
}

/// The service ports of all Services that have a cluster IP, in the order of namespace, name and port.
#[must_use]
pub fn service_ports<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    place: &Place<'_>,
) -> Vec<ServicePort> {
    let mut of: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices.into_iter().filter(|s| s.address_type == "IPv4") {
        if let Some(service) = slice.metadata.labels.get(SERVICE_NAME_LABEL) {
            of.entry((&slice.metadata.namespace, service)).or_default().push(slice);
        }
    }
    let mut out = Vec::new();
    for service in services {
        if service.spec.kind == "ExternalName" || service.spec.cluster_ip == "None" {
            continue;
        }
        let key = (service.metadata.namespace.as_str(), service.metadata.name.as_str());
        let slices = of.get(&key).map_or(&[][..], Vec::as_slice);
        for port in &service.spec.ports {
            out.extend(service_port(service, port, slices, place));
        }
    }
    out.sort_by(|a, b| {
        (&a.namespace, &a.service, a.protocol, a.port).cmp(&(&b.namespace, &b.service, b.protocol, b.port))
    });
    out
}

fn service_port(
    service: &Service,
    port: &Port,
    slices: &[&EndpointSlice],
    place: &Place<'_>,
) -> Option<ServicePort> {
    let spec = &service.spec;
    let protocol = Protocol::parse(&port.protocol)?;
    let cluster_ip =
        spec.cluster_ips.iter().chain([&spec.cluster_ip]).find_map(|ip| ip.parse::<Ipv4Addr>().ok());
    let ingress = service.status.load_balancer.ingress.iter().filter(|i| i.ip_mode != "Proxy");
    let balancer_ips: Vec<Ipv4Addr> = ingress.filter_map(|i| i.ip.parse().ok()).collect();
    let external_ips = spec
        .external_ips
        .iter()
        .filter_map(|ip| ip.parse().ok())
        .chain(balancer_ips.iter().copied())
        .collect();
    let all = candidates(slices, port, protocol, place.node);
    let affinity = spec.session_affinity == "ClientIP";
    let serving = all.iter().filter(|c| c.serving && protocol == Protocol::Udp);
    let serving = serving.map(|c| (c.endpoint.ip, c.endpoint.port)).collect();
    Some(ServicePort {
        namespace: service.metadata.namespace.clone(),
        service: service.metadata.name.clone(),
        port_name: port.name.clone(),
        protocol,
        port: port.port,
        cluster_ip,
        external_ips,
        balancer_ips,
        balancer_sources: balancer_sources(&spec.load_balancer_source_ranges),
        node_port: port.node_port,
        endpoints: usable(&all, is_near(&all, place), |_| true),
        local_endpoints: usable(&all, |c| c.endpoint.local, |c| c.endpoint.local),
        serving,
        external_local: spec.external_traffic_policy == "Local",
        internal_local: spec.internal_traffic_policy == "Local",
        affinity_s: affinity
            .then(|| spec.session_affinity_config.client_ip.timeout_seconds.unwrap_or(AFFINITY_TIMEOUT_S)),
    })
}

/// The IPv4 ranges among these. What is no IPv4 range lets nobody in: it is left out, and does not open the rest.
fn balancer_sources(texts: &[String]) -> Option<Vec<String>> {
    let known: BTreeSet<Range> = texts.iter().filter_map(|t| t.parse().ok()).collect();
    if texts.is_empty() || known.iter().any(|range| range.is_all()) {
        return None;
    }
    Some(known.into_iter().map(|range| range.to_string()).collect())
}

struct Candidate<'a> {
    endpoint: Endpoint,
    ready: bool,
    serving: bool,
    /// Serving although it terminates.
    fallback: bool,
    hints: &'a Hints,
}

fn candidates<'a>(
    slices: &[&'a EndpointSlice],
    port: &Port,
    protocol: Protocol,
    node_name: &str,
) -> Vec<Candidate<'a>> {
    let mut out = Vec::new();
    for slice in slices {
        for p in &slice.ports {
            let same_protocol = Protocol::parse(p.protocol.as_deref().unwrap_or("")) == Some(protocol);
            if p.name.as_deref().unwrap_or("") != port.name || !same_protocol {
                continue;
            }
            let Some(number) = p.port else { continue };
            out.extend(slice.endpoints.iter().filter_map(|e| candidate(e, number, node_name)));
        }
    }
    out
}

fn candidate<'a>(e: &'a SliceEndpoint, port: u16, node_name: &str) -> Option<Candidate<'a>> {
    let ip = e.addresses.first()?.parse().ok()?;
    let terminating = e.conditions.terminating.unwrap_or(false);
    let ready = e.conditions.ready.unwrap_or(true);
    let serving = e.conditions.serving.unwrap_or(true);
    Some(Candidate {
        endpoint: Endpoint { ip, port, local: !node_name.is_empty() && e.node_name == node_name },
        ready,
        serving,
        fallback: !ready && terminating && serving,
        hints: &e.hints,
    })
}

/// Whom the hints of the ready endpoints keep together: those for this node where every endpoint is meant for some
/// node, else those for this zone where every one is meant for some zone. Where none is for here, all serve.
// k8s: pkg/proxy/topology.go topologyModeFromHints
fn is_near<'a>(all: &'a [Candidate<'a>], place: &Place<'a>) -> impl Fn(&Candidate) -> bool + 'a {
    let for_node = |c: &Candidate| c.hints.for_nodes.iter().any(|n| n.name == place.node);
    let for_zone = |c: &Candidate| c.hints.for_zones.iter().any(|z| z.name == place.zone);
    let ready = || all.iter().filter(|c| c.ready);
    let by_node = ready().all(|c| !c.hints.for_nodes.is_empty()) && ready().any(for_node);
    let by_zone = ready().all(|c| !c.hints.for_zones.is_empty()) && ready().any(for_zone);
    let place = *place;
    move |c| match (by_node, by_zone) {
        (true, _) => c.hints.for_nodes.iter().any(|n| n.name == place.node),
        (false, true) => c.hints.for_zones.iter().any(|z| z.name == place.zone),
        (false, false) => true,
    }
}

/// The ready ones among those that are `near`, or without any the ones that end `within`.
fn usable(
    all: &[Candidate],
    near: impl Fn(&Candidate) -> bool,
    within: impl Fn(&Candidate) -> bool,
) -> Vec<Endpoint> {
    let pick = |f: &dyn Fn(&Candidate) -> bool| -> Vec<Endpoint> {
        let mut v: Vec<Endpoint> = all.iter().filter(|c| f(c)).map(|c| c.endpoint.clone()).collect();
        v.sort();
        v.dedup_by(|a, b| (a.ip, a.port) == (b.ip, b.port));
        v
    };
    let ready = pick(&|c| c.ready && near(c));
    if ready.is_empty() { pick(&|c| c.fallback && within(c)) } else { ready }
}

//! The records of the cluster domain as an index over Services and their endpoints.
//! Record schema: Kubernetes DNS-Based Service Discovery, version 1.1.0.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::model::{EndpointSlice, Port, Service};

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
const SPECIFICATION: &str = "1.1.0";
/// Namespace and name of the Service of cluster DNS.
const OWN: (&str, &str) = ("kube-system", "kube-dns");

/// One resource record's data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    Address(IpAddr),
    /// Target name, without the trailing dot.
    Alias(String),
    Pointer(String),
    Service {
        port: u16,
        target: String,
    },
    Text(String),
    NameServer(String),
}

/// What the zone says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Everything known under the name, of all types; empty when the name exists without records of its own.
    Records(Vec<Record>),
    /// The name is inside the cluster domain and does not exist.
    NoSuchName,
    /// Not a name of the cluster: to be forwarded.
    Foreign,
}

#[derive(Clone, Debug)]
struct Host {
    label: String,
    ip: IpAddr,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    cluster_ips: Vec<IpAddr>,
    /// Empty unless the Service is of type ExternalName.
    external_name: String,
    headless: bool,
    /// Lower-case port name and protocol, and number.
    ports: Vec<(String, String, u16)>,
    hosts: Vec<Host>,
}

/// The cluster's names.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    /// `cluster.local`, lower case, no trailing dot.
    domain: String,
    identity: String,
    /// By namespace, then name.
    services: BTreeMap<String, BTreeMap<String, Entry>>,
    reverse: BTreeMap<IpAddr, BTreeSet<String>>,
}

impl Zone {
    /// The same with a name for the server itself, for those who ask which one it is (RFC 4892).
    #[must_use]
    pub fn with_identity(mut self, identity: &str) -> Self {
        identity.clone_into(&mut self.identity);
        self
    }

    /// The server's own name; empty: it has none.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The zone of `domain` (`cluster.local`) with these Services and slices.
    #[must_use]
    pub fn new<'a>(
        domain: &str,
        services: impl IntoIterator<Item = &'a Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
    ) -> Self {
        let mut zone = Zone { domain: domain.trim_matches('.').to_ascii_lowercase(), ..Zone::default() };
        let mut of: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
        for slice in slices {
            if let Some(service) = slice.metadata.labels.get(SERVICE_NAME_LABEL) {
                of.entry((&slice.metadata.namespace, service)).or_default().push(slice);
            }
        }
        for service in services {
            let meta = &service.metadata;
            let slices = of.get(&(meta.namespace.as_str(), meta.name.as_str()));
            let entry = entry(service, slices.map_or(&[][..], Vec::as_slice));
            zone.index_reverse(&meta.namespace, &meta.name, &entry);
            zone.services.entry(meta.namespace.clone()).or_default().insert(meta.name.clone(), entry);
        }
        zone
    }

    /// The cluster domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    fn index_reverse(&mut self, namespace: &str, name: &str, entry: &Entry) {
        let service = format!("{name}.{namespace}.svc.{}", self.domain);
        for ip in &entry.cluster_ips {
            self.reverse.entry(*ip).or_default().insert(service.clone());
        }
        if entry.headless {
            for host in &entry.hosts {
                let pointer = format!("{}.{service}", host.label);
                self.reverse.entry(host.ip).or_default().insert(pointer);
            }
        }
    }

    /// What is known of `name`, given without the trailing dot, in any case.
    #[must_use]
    pub fn answer(&self, name: &str) -> Answer {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(ip) = reverse_ip(&name) {
            return match self.reverse.get(&ip) {
                Some(names) => Answer::Records(names.iter().cloned().map(Record::Pointer).collect()),
                None => Answer::Foreign,
            };
        }
        if name == self.domain {
            return Answer::Records(vec![Record::NameServer(self.name_server())]);
        }
        let Some(inside) = name.strip_suffix(&self.domain).and_then(|n| n.strip_suffix('.')) else {
            return Answer::Foreign;
        };
        let mut labels: Vec<&str> = inside.split('.').collect();
        labels.reverse();
        match labels.as_slice() {
            ["dns-version"] => Answer::Records(vec![Record::Text(SPECIFICATION.to_owned())]),
            ["svc" | "pod" | "dns"] => Answer::Records(Vec::new()),
            ["dns", "ns"] => self.own_addresses(),
            ["svc", namespace, rest @ ..] => self.service(namespace, rest),
            ["pod", namespace] if self.services.contains_key(*namespace) => Answer::Records(Vec::new()),
            ["pod", _, ip] => pod(ip),
            _ => Answer::NoSuchName,
        }
    }

    /// The name of this server, as the zone gives it.
    #[must_use]
    pub fn name_server(&self) -> String {
        format!("ns.dns.{}", self.domain)
    }

    /// Those of the Service that leads to this server.
    fn own_addresses(&self) -> Answer {
        let own = self.services.get(OWN.0).and_then(|services| services.get(OWN.1));
        let ips = own.map_or(&[][..], |entry| &entry.cluster_ips);
        Answer::Records(ips.iter().copied().map(Record::Address).collect())
    }

    /// `rest` holds the labels in front of the namespace, nearest first.
    fn service(&self, namespace: &str, rest: &[&str]) -> Answer {
        let Some(services) = self.services.get(namespace) else { return Answer::NoSuchName };
        let Some((name, rest)) = rest.split_first() else { return Answer::Records(Vec::new()) };
        let Some(entry) = services.get(*name) else { return Answer::NoSuchName };
        let full = format!("{name}.{namespace}.svc.{}", self.domain);
        match rest {
            [] => Answer::Records(entry.records(&full)),
            [protocol] if is_protocol(protocol) => Answer::Records(Vec::new()),
            [host] => {
                let found: Vec<Record> = entry
                    .hosts
                    .iter()
                    .filter(|h| entry.headless && h.label == *host)
                    .map(|h| Record::Address(h.ip))
                    .collect();
                if found.is_empty() { Answer::NoSuchName } else { Answer::Records(found) }
            }
            [protocol, port] if is_protocol(protocol) && port.starts_with('_') => {
                let found = entry.srv(&port[1..], &protocol[1..], &full);
                if found.is_empty() { Answer::NoSuchName } else { Answer::Records(found) }
            }
            _ => Answer::NoSuchName,
        }
    }
}

impl Entry {
    fn records(&self, full: &str) -> Vec<Record> {
        if !self.external_name.is_empty() {
            return vec![Record::Alias(self.external_name.clone())];
        }
        let mut out: Vec<Record> = if self.headless {
            self.hosts.iter().map(|h| Record::Address(h.ip)).collect()
        } else {
            self.cluster_ips.iter().copied().map(Record::Address).collect()
        };
        for (_, _, port) in &self.ports {
            out.extend(self.targets(full).map(|target| Record::Service { port: *port, target }));
        }
        out.sort();
        out.dedup();
        out
    }

    fn srv(&self, port: &str, protocol: &str, full: &str) -> Vec<Record> {
        let mut out = Vec::new();
        for (_, _, number) in self.ports.iter().filter(|(n, p, _)| n == port && p == protocol) {
            out.extend(self.targets(full).map(|target| Record::Service { port: *number, target }));
        }
        out
    }

    /// The names that SRV records point to: the Service, or each host of a headless one.
    fn targets<'a>(&'a self, full: &'a str) -> Box<dyn Iterator<Item = String> + 'a> {
        if self.headless {
            Box::new(self.hosts.iter().map(move |h| format!("{}.{full}", h.label)))
        } else {
            Box::new(std::iter::once(full.to_owned()))
        }
    }
}

fn entry(service: &Service, slices: &[&EndpointSlice]) -> Entry {
    let spec = &service.spec;
    if spec.kind == "ExternalName" {
        let external_name = spec.external_name.trim_end_matches('.').to_ascii_lowercase();
        return Entry { external_name, ..Entry::default() };
    }
    let headless = spec.cluster_ip == "None";
    let mut ips: Vec<IpAddr> =
        spec.cluster_ips.iter().chain([&spec.cluster_ip]).filter_map(|ip| ip.parse().ok()).collect();
    ips.dedup();
    let mut entry = Entry { cluster_ips: ips, headless, ..Entry::default() };
    if !headless {
        entry.ports = spec.ports.iter().filter_map(port).collect();
        return entry;
    }
    for slice in slices {
        entry.ports.extend(slice.ports.iter().flatten().filter_map(port));
        for e in &slice.endpoints {
            if !spec.publish_not_ready_addresses && e.conditions.ready == Some(false) {
                continue;
            }
            for ip in e.addresses.iter().filter_map(|a| a.parse::<IpAddr>().ok()) {
                let label = match e.hostname.as_deref() {
                    Some(h) if !h.is_empty() => h.to_ascii_lowercase(),
                    _ => ip.to_string().replace(['.', ':'], "-"),
                };
                entry.hosts.push(Host { label, ip });
            }
        }
    }
    entry.ports.sort();
    entry.ports.dedup();
    entry
}

fn port(p: &Port) -> Option<(String, String, u16)> {
    let protocol = p.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase();
    Some((p.name.as_deref().unwrap_or("").to_ascii_lowercase(), protocol, p.port?))
}

fn is_protocol(label: &str) -> bool {
    matches!(label, "_tcp" | "_udp" | "_sctp")
}

/// `10-244-0-7` is the address it says.
fn pod(label: &str) -> Answer {
    match label.replace('-', ".").parse::<Ipv4Addr>() {
        Ok(ip) => Answer::Records(vec![Record::Address(IpAddr::V4(ip))]),
        Err(_) => Answer::NoSuchName,
    }
}

fn reverse_ip(name: &str) -> Option<IpAddr> {
    let reversed = name.strip_suffix(".in-addr.arpa")?;
    let mut parts: Vec<&str> = reversed.split('.').collect();
    parts.reverse();
    parts.join(".").parse().ok()
}

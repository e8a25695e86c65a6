//! Service ports to nftables rules. One verdict map finds the chain of a service by address, protocol and
//! port, so the cost of a packet does not grow with the number of Services.
// k8s: pkg/proxy/nftables/proxier.go (the idea of the maps; names and layout are ours)

use std::fmt::Write;
use std::net::Ipv4Addr;

use stdx::hash::fnv1a64;

use crate::ruleset::{Chain, Container, Ruleset};
use crate::services::{Endpoint, ServicePort};

/// Name of the table unless another is chosen.
pub const TABLE: &str = "corten-proxy";
/// The packet mark that asks for masquerading, as upstream's default `--iptables-masquerade-bit 14`.
const MASQUERADE_MARK: &str = "0x4000";

/// What the rules depend on besides the services.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the table: clusters that share a network namespace have one each.
    pub table: String,
    /// Pod network, `10.244.0.0/16`: traffic from elsewhere to a cluster IP is masqueraded. Empty: none is.
    pub cluster_cidr: String,
    /// Addresses that node ports are served on; empty: every local address.
    pub node_port_addresses: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options { table: TABLE.to_owned(), cluster_cidr: String::new(), node_port_addresses: Vec::new() }
    }
}

/// The whole ruleset for these service ports.
#[must_use]
pub fn rules(ports: &[ServicePort], options: &Options) -> Ruleset {
    let mut set = base(options);
    for port in ports {
        add_port(&mut set, port, options);
    }
    set
}

fn chain(hook: &str, rules: &[&str]) -> Chain {
    Chain { hook: hook.to_owned(), rules: rules.iter().map(|r| (*r).to_owned()).collect() }
}

fn map(declaration: &str) -> Container {
    Container { keyword: "map", declaration: declaration.to_owned(), ..Container::default() }
}

fn base(options: &Options) -> Ruleset {
    let mut set = Ruleset { table: options.table.clone(), ..Ruleset::default() };
    let by_ip = "type ipv4_addr . inet_proto . inet_service : verdict;";
    let by_port = "type inet_proto . inet_service : verdict;";
    for (name, declaration) in [
        ("service-ips", by_ip),
        ("service-nodeports", by_port),
        ("dead-ips", by_ip),
        ("dead-nodeports", by_port),
        ("firewall-ips", by_ip),
    ] {
        set.containers.insert(name.to_owned(), map(declaration));
    }
    let local = if options.node_port_addresses.is_empty() {
        "fib daddr type local".to_owned()
    } else {
        format!("ip daddr {{ {} }}", options.node_port_addresses.join(", "))
    };
    let node_port = format!("{local} meta l4proto . th dport vmap @service-nodeports");
    let dead_port = format!("{local} meta l4proto . th dport vmap @dead-nodeports");
    let mark = format!("meta mark & {MASQUERADE_MARK} != {MASQUERADE_MARK} return");
    let unmark = format!("meta mark set meta mark xor {MASQUERADE_MARK}");
    let chains = [
        ("services", "", vec!["ip daddr . meta l4proto . th dport vmap @service-ips", &node_port]),
        ("dead-services", "", vec!["ip daddr . meta l4proto . th dport vmap @dead-ips", &dead_port]),
        // Looked at before addresses are translated.
        ("firewall", "", vec!["ip daddr . meta l4proto . th dport vmap @firewall-ips"]),
        ("reject-dead", "", vec!["reject"]),
        ("mark-masquerade", "", vec!["meta mark set meta mark or 0x4000"]),
        ("nat-prerouting", "type nat hook prerouting priority dstnat;", vec!["jump services"]),
        ("nat-output", "type nat hook output priority -100;", vec!["jump services"]),
        (
            "nat-postrouting",
            "type nat hook postrouting priority srcnat;",
            vec![mark.as_str(), unmark.as_str(), "masquerade fully-random"],
        ),
        (
            "filter-prerouting",
            "type filter hook prerouting priority -110;",
            vec!["ct state new jump firewall"],
        ),
        (
            "filter-input",
            "type filter hook input priority -110;",
            // Node ports on loopback need route_localnet; this keeps others away from loopback (CVE-2020-8558).
            vec!["iifname != lo ip daddr 127.0.0.0/8 ct state new drop", "ct state new jump dead-services"],
        ),
        (
            "filter-forward",
            "type filter hook forward priority -110;",
            vec!["ct state new jump dead-services"],
        ),
        (
            "filter-output",
            "type filter hook output priority -110;",
            vec!["ct state new jump firewall", "ct state new jump dead-services"],
        ),
    ];
    for (name, hook, rules) in chains {
        set.chains.insert(name.to_owned(), chain(hook, &rules));
    }
    set
}

fn id(port: &ServicePort) -> String {
    let full = format!("{}/{}/{}/{}", port.namespace, port.service, port.protocol.as_str(), port.port);
    format!("{:016x}", fnv1a64(full.as_bytes()))
}

fn element(set: &mut Ruleset, container: &str, key: String, verdict: String) {
    if let Some(c) = set.containers.get_mut(container) {
        c.elements.entry(key).or_insert(verdict);
    }
}

fn add_port(set: &mut Ruleset, port: &ServicePort, options: &Options) {
    let id = id(port);
    let internal = if port.internal_local { &port.local_endpoints } else { &port.endpoints };
    let external = if port.external_local { &port.local_endpoints } else { &port.endpoints };
    for e in internal.iter().chain(external) {
        endpoint_chain(set, port, &id, e);
    }
    if let Some(ip) = port.cluster_ip {
        let name = format!("svc-{id}");
        let mut rules = Vec::new();
        if !options.cluster_cidr.is_empty() {
            rules.push(format!("ip daddr {ip} ip saddr != {} jump mark-masquerade", options.cluster_cidr));
        }
        let verdict = balance(set, &name, rules, port, &id, internal);
        entry(set, ip, port, verdict, "drop");
    }
    if port.node_port == 0 && port.external_ips.is_empty() {
        return;
    }
    firewall(set, port, &id);
    let name = format!("ext-{id}");
    let rules = if port.external_local {
        // A local process or pod is served like inside the cluster; the outside keeps its source address.
        vec!["fib saddr type local jump mark-masquerade".to_owned()]
    } else {
        vec!["jump mark-masquerade".to_owned()]
    };
    let verdict = balance(set, &name, rules, port, &id, external);
    for ip in &port.external_ips {
        entry(set, *ip, port, verdict.clone(), "drop");
    }
    if port.node_port != 0 {
        let key = format!("{} . {}", port.protocol.as_str(), port.node_port);
        match verdict {
            Some(v) => element(set, "service-nodeports", key, v),
            None if port.endpoints.is_empty() => {
                element(set, "dead-nodeports", key, "goto reject-dead".to_owned());
            }
            None => element(set, "dead-nodeports", key, "drop".to_owned()),
        }
    }
}

/// Keeps all but the allowed sources away from the load balancer's addresses; node ports and external IPs are open
/// as before.
// k8s: pkg/proxy/nftables/proxier.go syncProxyRules (usesFWChain)
fn firewall(set: &mut Ruleset, port: &ServicePort, id: &str) {
    let Some(sources) = port.balancer_sources.as_ref().filter(|_| !port.balancer_ips.is_empty()) else {
        return;
    };
    let name = format!("fw-{id}");
    let mut rules: Vec<String> = sources.iter().map(|s| format!("ip saddr {s} return")).collect();
    rules.push("drop".to_owned());
    set.chains.insert(name.clone(), Chain { hook: String::new(), rules });
    for ip in &port.balancer_ips {
        let key = format!("{ip} . {} . {}", port.protocol.as_str(), port.port);
        element(set, "firewall-ips", key, format!("goto {name}"));
    }
}

/// The map entry of one address: to the chain, or to rejection (no endpoint anywhere) or `none_here` (policy Local).
fn entry(set: &mut Ruleset, ip: Ipv4Addr, port: &ServicePort, verdict: Option<String>, none_here: &str) {
    let key = format!("{ip} . {} . {}", port.protocol.as_str(), port.port);
    match verdict {
        Some(v) => element(set, "service-ips", key, v),
        None if port.endpoints.is_empty() => element(set, "dead-ips", key, "goto reject-dead".to_owned()),
        None => element(set, "dead-ips", key, none_here.to_owned()),
    }
}

/// Makes the chain that spreads over `endpoints` and gives the verdict that leads there; `None` without endpoints.
fn balance(
    set: &mut Ruleset,
    name: &str,
    mut rules: Vec<String>,
    port: &ServicePort,
    id: &str,
    endpoints: &[Endpoint],
) -> Option<String> {
    if endpoints.is_empty() {
        return None;
    }
    if port.affinity_s.is_some() {
        for e in endpoints {
            rules.push(format!("ip saddr @{} goto {}", affinity_name(id, e), endpoint_name(id, e)));
        }
    }
    if let [one] = endpoints {
        rules.push(format!("goto {}", endpoint_name(id, one)));
    } else {
        let mut rule = format!("numgen random mod {} vmap {{ ", endpoints.len());
        for (i, e) in endpoints.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let _ = write!(rule, "{comma}{i} : goto {}", endpoint_name(id, e));
        }
        rule.push_str(" }");
        rules.push(rule);
    }
    set.chains.insert(name.to_owned(), Chain { hook: String::new(), rules });
    Some(format!("goto {name}"))
}

fn endpoint_name(id: &str, e: &Endpoint) -> String {
    format!("ep-{id}-{}-{}", e.ip, e.port).replace('.', "_")
}

fn affinity_name(id: &str, e: &Endpoint) -> String {
    format!("aff-{id}-{}-{}", e.ip, e.port).replace('.', "_")
}

fn endpoint_chain(set: &mut Ruleset, port: &ServicePort, id: &str, e: &Endpoint) {
    let mut rules = vec![format!("ip saddr {} jump mark-masquerade", e.ip)];
    if let Some(timeout_s) = port.affinity_s {
        let name = affinity_name(id, e);
        // The time is said by the rule, not by the set: a rule can be changed while others refer to the set.
        rules.push(format!("update @{name} {{ ip saddr timeout {timeout_s}s }}"));
        let declaration = "type ipv4_addr; flags dynamic,timeout; size 65535;".to_owned();
        set.containers.insert(name, Container { keyword: "set", declaration, ..Container::default() });
    }
    rules.push(format!("meta l4proto {} dnat to {}:{}", port.protocol.as_str(), e.ip, e.port));
    set.chains.insert(endpoint_name(id, e), Chain { hook: String::new(), rules });
}

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
    /// Ranges of cluster IPs: what goes to one that no Service has is dropped. Empty: it is not.
    pub service_cidrs: Vec<String>,
    /// Ranges of the local addresses that node ports are served on; empty: all of them.
    pub node_port_addresses: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            table: TABLE.to_owned(),
            cluster_cidr: String::new(),
            service_cidrs: Vec::new(),
            node_port_addresses: Vec::new(),
        }
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
    let addresses =
        Container { keyword: "set", declaration: "type ipv4_addr;".to_owned(), ..Container::default() };
    set.containers.insert("cluster-ips".to_owned(), addresses);
    add_deciding_chains(&mut set, options);
    add_hooked_chains(&mut set);
    set
}

/// The chains that the hooked ones jump to.
fn add_deciding_chains(set: &mut Ruleset, options: &Options) {
    let mut local = "fib daddr type local".to_owned();
    if !options.node_port_addresses.is_empty() {
        // Only among the node's own: a range may hold other nodes' addresses too.
        let _ = write!(local, " ip daddr {{ {} }}", options.node_port_addresses.join(", "));
    }
    let node_port = format!("{local} meta l4proto . th dport vmap @service-nodeports");
    let dead_port = format!("{local} meta l4proto . th dport vmap @dead-nodeports");
    let unallocated = format!("ip daddr {{ {} }} drop", options.service_cidrs.join(", "));
    // Whoever still has a cluster IP as the destination here asked for a port that no Service has.
    let mut strays = vec!["ip daddr @cluster-ips reject"];
    if !options.service_cidrs.is_empty() {
        strays.push(&unallocated);
    }
    for (name, rules) in [
        ("services", vec!["ip daddr . meta l4proto . th dport vmap @service-ips", &node_port]),
        ("dead-services", vec!["ip daddr . meta l4proto . th dport vmap @dead-ips", &dead_port]),
        ("stray-cluster-ips", strays),
        // Looked at before addresses are translated.
        ("firewall", vec!["ip daddr . meta l4proto . th dport vmap @firewall-ips"]),
        ("reject-dead", vec!["reject"]),
        ("mark-masquerade", vec!["meta mark set meta mark or 0x4000"]),
    ] {
        set.chains.insert(name.to_owned(), chain("", &rules));
    }
}

/// The chains that the kernel calls.
fn add_hooked_chains(set: &mut Ruleset) {
    let mark = format!("meta mark & {MASQUERADE_MARK} != {MASQUERADE_MARK} return");
    let unmark = format!("meta mark set meta mark xor {MASQUERADE_MARK}");
    let dead = "ct state new jump dead-services";
    let stray = "ct state new jump stray-cluster-ips";
    let firewall = "ct state new jump firewall";
    // Node ports on loopback need route_localnet; this keeps others away from loopback (CVE-2020-8558).
    let martian = "iifname != lo ip daddr 127.0.0.0/8 ct state new drop";
    for (name, hook, rules) in [
        ("nat-prerouting", "type nat hook prerouting priority dstnat;", vec!["jump services"]),
        ("nat-output", "type nat hook output priority -100;", vec!["jump services"]),
        (
            "nat-postrouting",
            "type nat hook postrouting priority srcnat;",
            vec![mark.as_str(), unmark.as_str(), "masquerade fully-random"],
        ),
        ("filter-prerouting", "type filter hook prerouting priority -110;", vec![firewall]),
        ("filter-input", "type filter hook input priority -110;", vec![martian, dead]),
        ("filter-forward", "type filter hook forward priority -110;", vec![dead, stray]),
        ("filter-output", "type filter hook output priority -110;", vec![firewall]),
        // Behind the translation, so that only what found no endpoint is still addressed to a Service.
        ("filter-output-late", "type filter hook output priority -90;", vec![dead, stray]),
    ] {
        set.chains.insert(name.to_owned(), chain(hook, &rules));
    }
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
    let is_external = port.node_port != 0 || !port.external_ips.is_empty();
    let mut rules = Vec::new();
    if let Some(ip) = port.cluster_ip {
        element(set, "cluster-ips", ip.to_string(), String::new());
        if !options.cluster_cidr.is_empty() {
            rules.push(format!("ip daddr {ip} ip saddr != {} jump mark-masquerade", options.cluster_cidr));
        }
    }
    let mut spread = |prefix: &str, is_used: bool, endpoints: &[Endpoint]| {
        let endpoints = if is_used { endpoints } else { &[] };
        endpoints.iter().for_each(|e| endpoint_chain(set, port, &id, e));
        balance(set, &format!("{prefix}-{id}"), rules.clone(), port, &id, endpoints)
    };
    // Also a Service with policy Local serves clients of the cluster from all its endpoints.
    let cluster = spread("svc", !port.internal_local || is_external, &port.endpoints);
    let local_is_used = port.internal_local || (is_external && port.external_local);
    let local = spread("loc", local_is_used, &port.local_endpoints);
    let is_served = !port.endpoints.is_empty();
    if let Some(ip) = port.cluster_ip {
        let way = if port.internal_local { &local } else { &cluster };
        entry(set, "ips", key(ip, port), way.clone(), (way.is_none()).then(|| none_here(is_served)));
    }
    if !is_external {
        return;
    }
    firewall(set, port, &id);
    let way = cluster.map(|all| external(set, port, &id, options, &all, local.as_deref()));
    let dead = match &way {
        Some(_) if !port.external_local || local.is_some() => None,
        _ => Some(none_here(is_served)),
    };
    for ip in &port.external_ips {
        entry(set, "ips", key(*ip, port), way.clone(), dead);
    }
    if port.node_port != 0 {
        entry(set, "nodeports", format!("{} . {}", port.protocol.as_str(), port.node_port), way, dead);
    }
}

/// What happens to packets that find no endpoint: an error where there is none at all, silence where another node
/// has one, so that load balancers that send to all nodes see no refusal.
fn none_here(is_served: bool) -> &'static str {
    if is_served { "drop" } else { "goto reject-dead" }
}

/// Makes the chain for what comes from outside by `all` endpoints or, with policy Local, by `local` ones, and gives
/// the verdict that leads there. Clients of the cluster itself are served by all endpoints under either policy.
// k8s: pkg/proxy/nftables/proxier.go syncProxyRules (externalTrafficChain)
fn external(
    set: &mut Ruleset,
    port: &ServicePort,
    id: &str,
    options: &Options,
    all: &str,
    local: Option<&str>,
) -> String {
    let mut rules = Vec::new();
    if port.external_local {
        if !options.cluster_cidr.is_empty() {
            rules.push(format!("ip saddr {} {all}", options.cluster_cidr));
        }
        rules.push("fib saddr type local jump mark-masquerade".to_owned());
        rules.push(format!("fib saddr type local {all}"));
        // The outside keeps its source address.
        rules.extend(local.map(str::to_owned));
    } else {
        rules.extend(["jump mark-masquerade".to_owned(), all.to_owned()]);
    }
    let name = format!("ext-{id}");
    let verdict = format!("goto {name}");
    set.chains.insert(name, Chain { hook: String::new(), rules });
    verdict
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
        element(set, "firewall-ips", key(*ip, port), format!("goto {name}"));
    }
}

fn key(ip: Ipv4Addr, port: &ServicePort) -> String {
    format!("{ip} . {} . {}", port.protocol.as_str(), port.port)
}

/// The entries of one address or node port: where it leads to, and what becomes of packets that were led nowhere.
fn entry(set: &mut Ruleset, kind: &str, key: String, way: Option<String>, dead: Option<&str>) {
    if let Some(way) = way {
        element(set, &format!("service-{kind}"), key.clone(), way);
    }
    if let Some(dead) = dead {
        element(set, &format!("dead-{kind}"), key, dead.to_owned());
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

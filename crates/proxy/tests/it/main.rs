//! The proxy's rules as tables, and every script tried by nft itself in a network namespace of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};

use proxy::conntrack::{Flow, UdpServices};
use proxy::{EndpointSlice, Options, Place, Ruleset, Service, diff, rules, service_ports, teardown};
use serde_json::json;

mod kernel;

const HERE: Place = Place { node: "n1", zone: "z1" };

fn service(spec: serde_json::Value) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": "d", "name": "web"}, "spec": spec})).unwrap()
}

fn slice(endpoints: serde_json::Value) -> EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"namespace": "d", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"name": "", "protocol": "TCP", "port": 8080}],
        "endpoints": endpoints
    }))
    .unwrap()
}

fn up(ip: &str) -> serde_json::Value {
    json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": "n1"})
}

fn made(spec: serde_json::Value, endpoints: serde_json::Value) -> Ruleset {
    let ports = service_ports(&[service(spec)], &[slice(endpoints)], &HERE);
    rules(&ports, &options())
}

fn options() -> Options {
    let service_cidrs = vec!["10.96.0.0/16".to_owned()];
    Options { cluster_cidr: "10.244.0.0/16".into(), service_cidrs, ..Options::default() }
}

fn cluster_ip() -> serde_json::Value {
    json!({"type": "ClusterIP", "clusterIP": "10.96.0.9", "ports": [{"port": 80}]})
}

fn verdict<'a>(set: &'a Ruleset, map: &str, key: &str) -> Option<&'a str> {
    set.containers[map].elements.get(key).map(String::as_str)
}

#[test]
fn a_service_without_endpoints_is_refused() {
    let set = made(cluster_ip(), json!([]));
    assert_eq!(verdict(&set, "dead-ips", "10.96.0.9 . tcp . 80"), Some("goto reject-dead"));
    assert_eq!(verdict(&set, "service-ips", "10.96.0.9 . tcp . 80"), None);
}

#[test]
fn unready_endpoints_are_left_out_and_terminating_ones_serve_last() {
    let ready = |ip: &str, ready: bool, serving: bool, terminating: bool| json!({"addresses": [ip], "conditions": {"ready": ready, "serving": serving, "terminating": terminating}});
    let ips = |endpoints: serde_json::Value| -> Vec<String> {
        let ports = service_ports(&[service(cluster_ip())], &[slice(endpoints)], &HERE);
        ports[0].endpoints.iter().map(|e| e.ip.to_string()).collect()
    };
    let all = json!([
        ready("10.244.0.2", true, true, false),
        ready("10.244.0.3", false, false, false),
        ready("10.244.0.4", false, true, true)
    ]);
    assert_eq!(ips(all), ["10.244.0.2"]);
    assert_eq!(ips(json!([ready("10.244.0.4", false, true, true)])), ["10.244.0.4"]);
    assert!(ips(json!([ready("10.244.0.4", false, false, true)])).is_empty());
}

#[test]
fn headless_and_external_name_services_have_no_rules() {
    let none = json!({"type": "ClusterIP", "clusterIP": "None", "ports": [{"port": 80}]});
    let external = json!({"type": "ExternalName", "externalName": "a.b", "ports": [{"port": 80}]});
    for spec in [none, external] {
        assert!(service_ports(&[service(spec)], &[slice(json!([up("10.244.0.2")]))], &HERE).is_empty());
    }
}

/// Where each way into a Service leads to, by both policies, and what becomes of what is led nowhere.
#[test]
fn policies_choose_endpoints_by_where_clients_are() {
    let elsewhere = || json!({"addresses": ["10.244.1.2"], "conditions": {"ready": true}, "nodeName": "n2"});
    let here = || up("10.244.0.2");
    let both = ["10.244.0.2", "10.244.1.2"];
    let (all, own, none): (&[&str], &[&str], &[&str]) = (&both, &both[..1], &[]);
    // Policies (external, internal) and endpoints; who serves the cluster IP, the outside, and pods and the node at
    // the external address; the verdicts on packets to the cluster IP and from outside that found nobody.
    let cases = [
        ("Cluster", "Cluster", vec![here(), elsewhere()], [all, all, all], [None, None]),
        ("Local", "Cluster", vec![here(), elsewhere()], [all, own, all], [None, None]),
        ("Local", "Local", vec![here(), elsewhere()], [own, own, all], [None, None]),
        ("Cluster", "Local", vec![here(), elsewhere()], [own, all, all], [None, None]),
        ("Local", "Cluster", vec![elsewhere()], [&all[1..], none, &all[1..]], [None, Some("drop")]),
        ("Local", "Local", vec![elsewhere()], [none, none, &all[1..]], [Some("drop"), Some("drop")]),
        ("Cluster", "Local", vec![elsewhere()], [none, &all[1..], &all[1..]], [Some("drop"), None]),
        ("Local", "Local", vec![], [none, none, none], [Some("goto reject-dead"), Some("goto reject-dead")]),
        (
            "Cluster",
            "Cluster",
            vec![],
            [none, none, none],
            [Some("goto reject-dead"), Some("goto reject-dead")],
        ),
    ];
    for (external, internal, endpoints, want, dead) in cases {
        let spec = json!({"type": "NodePort", "clusterIP": "10.96.0.9", "externalIPs": ["192.0.2.7"],
            "externalTrafficPolicy": external, "internalTrafficPolicy": internal,
            "ports": [{"port": 80, "nodePort": 30080}]});
        let set = made(spec, json!(endpoints));
        let case = format!("{external} {internal} {endpoints:?}");
        let (cluster_ip, node_port) = ("10.96.0.9 . tcp . 80", "tcp . 30080");
        let way = |map: &str, key: &str, guest: &str| reached(&set, verdict(&set, map, key), guest);
        assert_eq!(way("service-ips", cluster_ip, "pod"), want[0], "{case}");
        for (map, key) in [("service-nodeports", node_port), ("service-ips", "192.0.2.7 . tcp . 80")] {
            assert_eq!(way(map, key, "outside"), want[1], "{case} {key}");
            assert_eq!(way(map, key, "pod"), want[2], "{case} {key}");
            assert_eq!(way(map, key, "node"), want[2], "{case} {key}");
        }
        let verdicts = [verdict(&set, "dead-ips", cluster_ip), verdict(&set, "dead-nodeports", node_port)];
        assert_eq!(verdicts, dead, "{case}");
        assert_eq!(verdict(&set, "dead-ips", "192.0.2.7 . tcp . 80"), dead[1], "{case}");
        assert!(set.containers["cluster-ips"].elements.contains_key("10.96.0.9"), "{case}");
    }
}

/// The endpoints that a guest may be led to from this verdict on.
fn reached(set: &Ruleset, verdict: Option<&str>, guest: &str) -> Vec<String> {
    let Some(chain) = verdict.and_then(|v| v.strip_prefix("goto ")) else { return Vec::new() };
    for rule in &set.chains[chain].rules {
        if let Some((_, to)) = rule.split_once(" dnat to ") {
            return vec![to.split(':').next().unwrap().to_owned()];
        }
        let condition = rule.split("goto").next().unwrap();
        let is_met = match condition.trim() {
            "" => true,
            "ip saddr 10.244.0.0/16" => guest == "pod",
            "fib saddr type local" => guest == "node",
            spread if spread.starts_with("numgen") => true,
            _ => false,
        };
        if is_met && rule.contains("goto") {
            let chains = rule.split("goto ").skip(1).map(|c| c.split([',', ' ']).next().unwrap());
            return chains.flat_map(|c| reached(set, Some(&format!("goto {c}")), guest)).collect();
        }
    }
    Vec::new()
}

#[test]
fn hints_keep_traffic_on_the_node_or_in_the_zone() {
    let endpoint = |ip: &str, hints: serde_json::Value| json!({"addresses": [ip], "conditions": {"ready": true}, "hints": hints});
    let zone = |z: &str| json!({"forZones": [{"name": z}]});
    let node = |n: &str, z: &str| json!({"forNodes": [{"name": n}], "forZones": [{"name": z}]});
    let unready = json!({"addresses": ["10.244.0.9"], "conditions": {"ready": false}});
    let cases = [
        (vec![endpoint("10.244.0.1", zone("z1")), endpoint("10.244.0.2", zone("z2"))], vec!["10.244.0.1"]),
        (
            vec![endpoint("10.244.0.1", zone("z1")), endpoint("10.244.0.2", json!({}))],
            vec!["10.244.0.1", "10.244.0.2"],
        ),
        (
            vec![endpoint("10.244.0.1", zone("z3")), endpoint("10.244.0.2", zone("z2"))],
            vec!["10.244.0.1", "10.244.0.2"],
        ),
        (
            vec![endpoint("10.244.0.1", node("n2", "z1")), endpoint("10.244.0.2", node("n1", "z1"))],
            vec!["10.244.0.2"],
        ),
        // No endpoint is for this node: the zone counts.
        (
            vec![endpoint("10.244.0.1", node("n2", "z1")), endpoint("10.244.0.2", node("n3", "z2"))],
            vec!["10.244.0.1"],
        ),
        // What is not ready has no say.
        (
            vec![endpoint("10.244.0.1", zone("z1")), endpoint("10.244.0.2", zone("z2")), unready],
            vec!["10.244.0.1"],
        ),
    ];
    for (endpoints, want) in cases {
        let ports = service_ports(&[service(cluster_ip())], &[slice(json!(endpoints))], &HERE);
        let ips: Vec<String> = ports[0].endpoints.iter().map(|e| e.ip.to_string()).collect();
        assert_eq!(ips, want, "{endpoints:?}");
    }
}

#[test]
fn load_balancers_are_told_of_endpoints_on_this_node() {
    let spec = |kind: &str, policy: &str| {
        service(json!({"type": kind, "clusterIP": "10.96.0.9", "externalTrafficPolicy": policy,
            "healthCheckNodePort": 31000, "ports": [{"port": 80, "nodePort": 30080}]}))
    };
    let there = json!({"addresses": ["10.244.1.2"], "nodeName": "n2"});
    let unready = json!({"addresses": ["10.244.0.3"], "nodeName": "n1", "conditions": {"ready": false}});
    let cases = [
        ("LoadBalancer", "Local", json!([up("10.244.0.2"), up("10.244.0.2"), there]), Some((200, 1))),
        ("LoadBalancer", "Local", json!([there, unready]), Some((503, 0))),
        ("LoadBalancer", "Cluster", json!([up("10.244.0.2")]), None),
        ("NodePort", "Local", json!([up("10.244.0.2")]), None),
    ];
    for (kind, policy, endpoints, want) in cases {
        let checks = proxy::health::checks(&[spec(kind, policy)], &[slice(endpoints)], &HERE);
        assert_eq!(checks.get(&31000).map(|c| (c.code(), c.endpoints)), want, "{kind} {policy}");
        for check in checks.values() {
            let body: serde_json::Value = serde_json::from_str(&check.body()).unwrap();
            let service = json!({"namespace": "d", "name": "web"});
            let want =
                json!({"service": service, "localEndpoints": check.endpoints, "serviceProxyHealthy": true});
            assert_eq!(body, want);
        }
    }
}

#[test]
fn equal_rulesets_need_no_script_and_one_endpoint_touches_one_service() {
    let one = made(cluster_ip(), json!([up("10.244.0.2")]));
    let two = made(cluster_ip(), json!([up("10.244.0.2"), up("10.244.0.3")]));
    assert_eq!(diff(Some(&one), &one), "");
    let script = diff(Some(&one), &two);
    assert!(script.lines().count() <= 6, "{script}");
    assert!(script.contains("10.244.0.3"), "{script}");
}

/// A Service of UDP with every kind of address, and its slice.
fn of_udp() -> (Service, EndpointSlice) {
    let service: Service = serde_json::from_value(json!({
        "metadata": {"namespace": "d", "name": "web"},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.9", "externalIPs": ["192.0.2.7"],
            "ports": [{"port": 53, "nodePort": 30053, "protocol": "UDP"}, {"name": "t", "port": 54}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8", "ipMode": "VIP"}]}},
    }))
    .unwrap();
    let mut slice = slice(json!([
        up("10.244.0.2"),
        {"addresses": ["10.244.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
        {"addresses": ["10.244.0.4"], "conditions": {"ready": false, "serving": false, "terminating": true}},
    ]));
    slice.ports[0].protocol = Some("UDP".to_owned());
    (service, slice)
}

/// What the kernel remembers of a flow to `dst` that is answered by `by`.
fn remembered(dst: &str, port: u16, by: &str, by_port: u16) -> Flow {
    let line = format!(
        "udp      17 29 src=10.244.0.9 dst={dst} sport=4000 dport={port} [UNREPLIED] src={by} \
         dst=10.244.0.9 sport={by_port} dport=4000 mark=0 use=1"
    );
    Flow::parse(&line).unwrap()
}

#[test]
fn udp_flows_to_endpoints_that_serve_no_more_are_stale() {
    let (service, slice) = of_udp();
    let cidrs = &options().service_cidrs;
    let known = UdpServices::new(
        &service_ports(std::slice::from_ref(&service), std::slice::from_ref(&slice), &HERE),
        cidrs,
    );
    for (dst, port, by, want) in [
        ("10.96.0.9", 53, "10.244.0.2", false),
        ("10.96.0.9", 53, "10.244.0.3", false),
        ("10.96.0.9", 53, "10.244.0.4", true),
        ("10.96.0.9", 53, "10.244.0.99", true),
        // Never translated: the Service had no endpoint when the client began.
        ("10.96.0.9", 53, "10.96.0.9", true),
        ("192.0.2.7", 53, "10.244.0.99", true),
        ("192.0.2.1", 30053, "10.244.0.99", true),
        ("192.0.2.1", 30053, "10.244.0.2", false),
        ("192.0.2.1", 54, "10.244.0.99", false),
        // A port that no Service has: the endpoint goes on answering until the kernel forgets.
        ("10.96.0.9", 55, "10.244.0.2", true),
        ("10.96.0.8", 53, "10.244.0.99", true),
        ("10.96.0.8", 53, "10.96.0.8", false),
        ("198.51.100.1", 53, "10.244.0.99", false),
    ] {
        let flow = remembered(dst, port, by, 8080);
        assert_eq!(known.is_stale(&UdpServices::default(), &flow), want, "{dst} {port} {by}");
    }
    // The endpoint's address is the same, but it serves at another port now.
    for (dst, port) in [("10.96.0.9", 53), ("192.0.2.7", 53), ("192.0.2.8", 53), ("192.0.2.1", 30053)] {
        let flow = remembered(dst, port, "10.244.0.2", 8081);
        assert!(known.is_stale(&UdpServices::default(), &flow), "{dst} {port}");
    }
    let none = UdpServices::default();
    for (dst, port, by, want) in [
        ("10.96.0.9", 53, "10.244.0.2", true),
        ("192.0.2.7", 53, "10.244.0.2", true),
        ("192.0.2.1", 30053, "10.244.0.2", true),
        ("192.0.2.1", 30053, "192.0.2.1", false),
        ("192.0.2.1", 53, "10.244.0.2", false),
    ] {
        let flow = remembered(dst, port, by, 8080);
        assert_eq!(none.is_stale(&known, &flow), want, "the port is gone: {dst} {port} {by}");
    }
    let flow = remembered("10.96.0.9", 53, "10.244.0.4", 8080);
    let removal =
        "-D -p udp --orig-dst 10.96.0.9 --orig-port-dst 53 --reply-src 10.244.0.4 --reply-port-src 8080";
    assert_eq!(flow.removal().join(" "), removal);
    for other in ["", "udp", "tcp 6 1 src=1.1.1.1 dst=1.1.1.1 sport=1 dport=1 src=1.1.1.1 dst=1.1.1.1"] {
        assert_eq!(Flow::parse(other), None, "{other}");
    }
    let without = UdpServices::new(&service_ports(&[service], &[], &HERE), cidrs);
    // Without any endpoint nothing refuses a flow that was led to one before. A node port is any host's port, too.
    for (dst, port, by, want) in [
        ("10.96.0.9", 53, "10.244.0.2", true),
        ("10.96.0.9", 53, "10.96.0.9", true),
        ("192.0.2.7", 53, "10.244.0.2", true),
        ("192.0.2.8", 53, "10.244.0.2", true),
        ("192.0.2.1", 30053, "10.244.0.2", false),
        ("198.51.100.1", 53, "10.244.0.2", false),
    ] {
        let flow = remembered(dst, port, by, 8080);
        assert_eq!(without.is_stale(&known, &flow), want, "no endpoint: {dst} {port} {by}");
    }
    assert!(none.are_idle(&none) && !none.are_idle(&known) && !without.are_idle(&none));
}

/// A Service of a load balancer with these source ranges, or without any.
fn balanced(ranges: &[&str], endpoints: serde_json::Value) -> Ruleset {
    let service: Service = serde_json::from_value(json!({
        "metadata": {"namespace": "d", "name": "web"},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.9", "externalIPs": ["192.0.2.7"],
            "ports": [{"port": 80, "nodePort": 30080}], "loadBalancerSourceRanges": ranges},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}, {"ip": "192.0.2.9", "ipMode": "Proxy"}]}}
    }))
    .unwrap();
    rules(&service_ports(&[service], &[slice(endpoints)], &HERE), &Options::default())
}

#[test]
fn load_balancer_addresses_are_open_to_the_source_ranges_only() {
    let cases: [(&[&str], Option<&[&str]>); 6] = [
        (&[], None),
        (&["0.0.0.0/0", "198.51.100.0/24"], None),
        (&["198.51.100.0/24"], Some(&["ip saddr 198.51.100.0/24 return", "drop"])),
        (
            &[" 203.0.113.77/24", "10.0.0.0/8", "10.1.0.0/16"],
            Some(&[
                "ip saddr 10.0.0.0/8 return",
                "ip saddr 10.1.0.0/16 return",
                "ip saddr 203.0.113.0/24 return",
                "drop",
            ]),
        ),
        (&["2001:db8::/32"], Some(&["drop"])),
        (&["1.2.3.4/33", "1.2.3.4/32"], Some(&["ip saddr 1.2.3.4/32 return", "drop"])),
    ];
    for (ranges, want) in cases {
        // Whether there are endpoints makes no difference.
        for endpoints in [json!([]), json!([up("10.244.0.2")])] {
            let set = balanced(ranges, endpoints);
            let keys: Vec<&String> = set.containers["firewall-ips"].elements.keys().collect();
            let verdict = verdict(&set, "firewall-ips", "192.0.2.8 . tcp . 80");
            let chain = verdict.and_then(|v| set.chains.get(v.trim_start_matches("goto ")));
            assert_eq!(
                chain.map(|c| c.rules.clone()),
                want.map(|w| w.iter().map(ToString::to_string).collect())
            );
            assert_eq!(keys.len(), usize::from(want.is_some()), "{ranges:?}: {keys:?}");
        }
    }
}

/// Runs a shell script in a fresh network namespace; what it printed.
fn in_namespace(script: &str) -> String {
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare (Debian package util-linux)");
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Shell commands that load scripts one after the other.
fn loading(scripts: &[String]) -> String {
    let loads = scripts.iter().map(|s| format!("nft -f - <<'EOF'\n{s}EOF\n"));
    format!("set -e\n{}", loads.collect::<String>())
}

/// Runs scripts one after the other in one fresh network namespace and gives what the table lists in the end.
fn nft(scripts: &[String]) -> String {
    in_namespace(&format!("{}nft -s list table ip corten-proxy || true\n", loading(scripts)))
}

/// A Service whose outside clients are served on their node.
fn local() -> serde_json::Value {
    json!({"type": "NodePort", "clusterIP": "10.96.0.9", "externalIPs": ["192.0.2.7"],
        "externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}]})
}

#[test]
fn nft_takes_every_script_and_ends_where_a_full_load_ends() {
    let sticky = |timeout_s: u32| {
        json!({"type": "NodePort", "clusterIP": "10.96.0.9", "externalIPs": ["192.0.2.7"],
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": timeout_s}},
            "ports": [{"port": 80, "nodePort": 30080}]})
    };
    let states = [
        made(cluster_ip(), json!([])),
        made(cluster_ip(), json!([up("10.244.0.2"), up("10.244.0.3")])),
        made(sticky(60), json!([up("10.244.0.2"), up("10.244.0.3")])),
        made(sticky(5), json!([up("10.244.0.3")])),
        balanced(&["198.51.100.0/24", "198.51.100.128/25"], json!([up("10.244.0.3")])),
        balanced(&["203.0.113.0/24"], json!([up("10.244.0.3")])),
        balanced(&[], json!([up("10.244.0.3")])),
        made(local(), json!([up("10.244.0.3"), {"addresses": ["10.244.1.2"], "nodeName": "n2"}])),
        made(local(), json!([{"addresses": ["10.244.1.2"], "nodeName": "n2"}])),
        made(cluster_ip(), json!([up("10.244.0.3")])),
    ];
    // The clients that are stuck to an endpoint stay so when the time changes.
    let other_time = diff(Some(&made(sticky(60), json!([up("10.244.0.3")]))), &states[3]);
    assert!(other_time.contains("timeout 5s") && !other_time.contains("delete"), "{other_time}");
    let mut scripts = vec![diff(None, &states[0])];
    for pair in states.windows(2) {
        scripts.push(diff(Some(&pair[0]), &pair[1]));
    }
    let step_by_step = nft(&scripts);
    let at_once = nft(&[diff(None, states.last().unwrap())]);
    let sorted = |s: &str| {
        let mut lines: Vec<String> = s.lines().map(|l| l.trim().to_owned()).collect();
        lines.sort();
        lines
    };
    assert!(at_once.contains("10.244.0.3"));
    assert_eq!(sorted(&step_by_step), sorted(&at_once));
    assert_eq!(nft(&[diff(None, &states[3]), teardown("corten-proxy")]).trim(), "");
}

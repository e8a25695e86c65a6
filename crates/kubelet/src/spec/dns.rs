//! A pod's resolver configuration by its DNS policy.
// k8s: pkg/kubelet/network/dns/dns.go GetPodDNS

use std::net::IpAddr;

use cri::v1::DnsConfig;
use k8s_openapi::api::core::v1::Pod;

use crate::config::Config;
use crate::spec::PodExt;

// k8s: pkg/apis/core/validation/validation.go
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCH_PATHS: usize = 32;
const MAX_SEARCH_BYTES: usize = 2048;

/// Reads the host's resolver configuration.
#[must_use]
pub fn parse_resolv_conf(text: &str) -> DnsConfig {
    let mut out = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => out.servers.extend(words.next().map(str::to_owned)),
            Some("search") => {
                out.searches = words
                    .map(|w| w.strip_suffix('.').filter(|s| !s.is_empty()).unwrap_or(w).to_owned())
                    .collect();
            }
            Some("options") => out.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    out
}

/// Whether a nameserver is on the host's loopback interface, where no pod but the host's own can reach it.
#[must_use]
pub fn is_loopback(server: &str) -> bool {
    server.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The host's resolver configuration; where all its nameservers are on loopback, the one that the resolver there
/// asks in turn (`upstream`), if there is any.
#[must_use]
pub fn host(own: &str, upstream: impl FnOnce() -> Option<String>) -> DnsConfig {
    let own = parse_resolv_conf(own);
    if own.servers.is_empty() || !own.servers.iter().all(|s| is_loopback(s)) {
        return own;
    }
    let other = upstream().map(|text| parse_resolv_conf(&text));
    other.filter(|o| o.servers.iter().any(|s| !is_loopback(s))).unwrap_or(own)
}

/// The pod's resolver configuration. `host` is the node's own.
#[must_use]
pub fn config(pod: &Pod, node: &Config, host: &DnsConfig) -> DnsConfig {
    let spec = pod.sp();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" => !pod.host_network(),
        _ => false,
    };
    let mut out = if policy == "None" {
        DnsConfig::default()
    } else if cluster && !node.cluster_dns.is_empty() {
        let mut searches = Vec::new();
        if !node.cluster_domain.is_empty() {
            let domain = &node.cluster_domain;
            searches = vec![format!("{}.svc.{domain}", pod.ns()), format!("svc.{domain}"), domain.clone()];
        }
        searches.extend(host.searches.iter().cloned());
        DnsConfig {
            servers: node.cluster_dns.iter().map(ToString::to_string).collect(),
            searches,
            options: vec!["ndots:5".to_owned()],
        }
    } else {
        let mut own = host.clone();
        if !pod.host_network() {
            own.servers.retain(|s| !is_loopback(s));
        }
        own
    };
    if let Some(own) = &spec.dns_config {
        out.servers.extend(own.nameservers.iter().flatten().cloned());
        out.searches.extend(own.searches.iter().flatten().cloned());
        for o in own.options.iter().flatten() {
            let Some(name) = o.name.clone() else { continue };
            out.options.retain(|have| have.split(':').next() != Some(name.as_str()));
            out.options.push(match &o.value {
                Some(v) if !v.is_empty() => format!("{name}:{v}"),
                _ => name,
            });
        }
    }
    bound(out)
}

fn bound(mut dns: DnsConfig) -> DnsConfig {
    let mut seen = std::collections::BTreeSet::new();
    dns.servers.retain(|s| seen.insert(s.clone()));
    dns.servers.truncate(MAX_NAMESERVERS);
    seen.clear();
    dns.searches.retain(|s| seen.insert(s.clone()));
    dns.searches.truncate(MAX_SEARCH_PATHS);
    while dns.searches.iter().map(|s| s.len() + 1).sum::<usize>() > MAX_SEARCH_BYTES {
        dns.searches.pop();
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let mut node = Config::new("n", "/x");
        node.cluster_dns = vec!["10.96.0.10".parse().unwrap()];
        let host = parse_resolv_conf("nameserver 1.1.1.1\nsearch lan example.\noptions timeout:1\n");
        let cases = [
            (serde_json::json!({}), "10.96.0.10", 5, "ndots:5"),
            (serde_json::json!({"dnsPolicy": "Default"}), "1.1.1.1", 2, "timeout:1"),
            (serde_json::json!({"hostNetwork": true}), "1.1.1.1", 2, "timeout:1"),
            (
                serde_json::json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
                "10.96.0.10",
                5,
                "ndots:5",
            ),
            (
                serde_json::json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"],
                    "searches": ["x"], "options": [{"name": "ndots", "value": "2"}]}}),
                "9.9.9.9",
                1,
                "ndots:2",
            ),
        ];
        for (mut spec, server, searches, options) in cases {
            spec["containers"] = serde_json::json!([]);
            let pod: Pod =
                serde_json::from_value(serde_json::json!({"metadata": {"namespace": "ns"}, "spec": spec}))
                    .unwrap();
            let got = config(&pod, &node, &host);
            assert_eq!(got.servers, [server], "{spec}");
            assert_eq!(got.searches.len(), searches, "{spec}");
            assert_eq!(got.options.join(" "), options, "{spec}");
        }
    }

    #[test]
    fn pods_get_no_nameserver_on_loopback() {
        let stub = "nameserver 127.0.0.53\nsearch lan\n";
        let cases: [(&str, Option<&str>, bool, &[&str]); 7] = [
            (stub, Some("nameserver 9.9.9.9\n"), false, &["9.9.9.9"]),
            (stub, Some("nameserver 9.9.9.9\n"), true, &["9.9.9.9"]),
            (stub, None, false, &[]),
            (stub, None, true, &["127.0.0.53"]),
            (stub, Some("nameserver ::1\n"), false, &[]),
            ("nameserver 1.1.1.1\nnameserver ::1\n", Some("nameserver 9.9.9.9\n"), false, &["1.1.1.1"]),
            ("", Some("nameserver 9.9.9.9\n"), false, &[]),
        ];
        for (own, upstream, host_network, want) in cases {
            let pod = serde_json::json!({"metadata": {"namespace": "ns"},
                "spec": {"dnsPolicy": "Default", "hostNetwork": host_network, "containers": []}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let host = host(own, || upstream.map(str::to_owned));
            let got = config(&pod, &Config::new("n", "/x"), &host);
            assert_eq!(got.servers, want, "{own:?} {upstream:?} {host_network}");
        }
    }

    #[test]
    fn limits_hold() {
        let many = DnsConfig {
            servers: (0..9).map(|i| format!("10.0.0.{i}")).collect(),
            searches: (0..99).map(|i| format!("{i}{}", "x".repeat(100))).collect(),
            options: vec![],
        };
        let got = bound(many);
        assert_eq!((got.servers.len(), got.searches.len()), (3, 19));
    }
}

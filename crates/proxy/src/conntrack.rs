//! Which of the kernel's remembered UDP flows lead to an endpoint that no longer serves, or to one of a port that no
//! Service has any more. Without a word from us such a flow would be kept alive by its own packets, and a client that
//! keeps its source port would never reach another endpoint.
// k8s: pkg/proxy/conntrack/cleanup.go

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::range::Range;
use crate::services::{Protocol, ServicePort};

/// A remembered flow, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// Where the client sent its packets to.
    pub destination: Ipv4Addr,
    pub port: u16,
    /// Where the answers come from, address and port: the endpoint, or the destination itself when nothing was
    /// translated.
    pub answered_by: (Ipv4Addr, u16),
}

impl Flow {
    /// Reads a line of `conntrack -L -p udp`.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        if line.split_whitespace().next()? != "udp" {
            return None;
        }
        let all = |key: &str| -> Vec<&str> {
            line.split_whitespace().filter_map(|w| w.strip_prefix(key)?.strip_prefix('=')).collect()
        };
        // The first of each is of the way there, the second of the way back.
        Some(Flow {
            destination: all("dst").first()?.parse().ok()?,
            port: all("dport").first()?.parse().ok()?,
            answered_by: (all("src").get(1)?.parse().ok()?, all("sport").get(1)?.parse().ok()?),
        })
    }

    /// The words after `conntrack` that remove it.
    #[must_use]
    pub fn removal(&self) -> Vec<String> {
        let words = [
            ("-p", "udp".to_owned()),
            ("--orig-dst", self.destination.to_string()),
            ("--orig-port-dst", self.port.to_string()),
            ("--reply-src", self.answered_by.0.to_string()),
            ("--reply-port-src", self.answered_by.1.to_string()),
        ];
        let pairs = words.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        std::iter::once("-D".to_owned()).chain(pairs).collect()
    }
}

/// The UDP ports of Services and the endpoints that serve them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpServices {
    /// Where all cluster IPs are from.
    ranges: Vec<Range>,
    by_address: BTreeMap<(Ipv4Addr, u16), BTreeSet<(Ipv4Addr, u16)>>,
    by_node_port: BTreeMap<u16, BTreeSet<(Ipv4Addr, u16)>>,
}

impl UdpServices {
    /// Those among the ports. Traffic policies do not matter: a change of them ends no flow.
    #[must_use]
    pub fn new(ports: &[ServicePort], service_cidrs: &[String]) -> Self {
        let ranges = service_cidrs.iter().filter_map(|r| r.parse().ok()).collect();
        let mut out = UdpServices { ranges, ..UdpServices::default() };
        for p in ports.iter().filter(|p| p.protocol == Protocol::Udp) {
            for ip in p.cluster_ip.iter().chain(&p.external_ips) {
                out.by_address.insert((*ip, p.port), p.serving.clone());
            }
            if p.node_port != 0 {
                out.by_node_port.insert(p.node_port, p.serving.clone());
            }
        }
        out
    }

    /// Whether no flow can be stale, now that these are there and `before` was.
    #[must_use]
    pub fn are_idle(&self, before: &Self) -> bool {
        let idle = |s: &Self| s.by_address.is_empty() && s.by_node_port.is_empty();
        idle(self) && idle(before) && self.ranges.is_empty()
    }

    /// Whether the flow goes to one of these ports, but to no endpoint that serves it, or was led to an endpoint of a
    /// port that is gone. `before`: the ports when flows were last looked at. Of a Service without any endpoint every
    /// flow is, since the rule that refuses its packets sees none of one that was translated before; but a node port is
    /// known by its number alone, and without an endpoint no flow is known to be its.
    #[must_use]
    pub fn is_stale(&self, before: &Self, flow: &Flow) -> bool {
        let address = (flow.destination, flow.port);
        match (self.by_address.get(&address), self.by_node_port.get(&flow.port)) {
            (Some(serving), _) => !serving.contains(&flow.answered_by),
            (None, Some(serving)) => !serving.is_empty() && !serving.contains(&flow.answered_by),
            (None, None) => {
                let was_one = before.by_address.contains_key(&address)
                    || before.by_node_port.contains_key(&flow.port)
                    || self.ranges.iter().any(|r| r.holds(flow.destination));
                was_one && flow.answered_by.0 != flow.destination
            }
        }
    }
}

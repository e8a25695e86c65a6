//! Node IPAM: gives every node a range of pod addresses out of the cluster's.
//!
//! One key decides for all nodes, so that two nodes never get the same range. A range that a node has is
//! never changed.
// k8s: pkg/controller/nodeipam/ipam/range_allocator.go

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Action, Answers, Caches, Controller, EventRecord, Interests, Key, ObjectReference, Plan};
use serde_json::json;

use crate::core::node::{NODES, Node, WITHOUT_CIDR};

/// A range that nodes get their parts of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterCidr {
    pub base: IpAddr,
    pub prefix: u8,
    /// Prefix length of a node's part: 24 for IPv4, 64 for IPv6 by default.
    pub node_prefix: u8,
}

impl ClusterCidr {
    /// From `10.244.0.0/16` with the default part sizes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (base, prefix) = meta::name::parse_cidr(text)?;
        let node_prefix = if base.is_ipv4() { 24 } else { 64 };
        (prefix <= node_prefix).then_some(ClusterCidr { base, prefix, node_prefix })
    }

    fn width(&self) -> u32 {
        if self.base.is_ipv4() { 32 } else { 128 }
    }

    fn number(ip: IpAddr) -> u128 {
        match ip {
            IpAddr::V4(v) => u128::from(v.to_bits()),
            IpAddr::V6(v) => v.to_bits(),
        }
    }

    /// The number of the part that `cidr` is, if it is one.
    fn index(&self, cidr: &str) -> Option<u128> {
        let (ip, prefix) = meta::name::parse_cidr(cidr)?;
        if ip.is_ipv4() != self.base.is_ipv4() || prefix < self.prefix {
            return None;
        }
        let shift = self.width() - u32::from(self.node_prefix);
        let offset = Self::number(ip).checked_sub(Self::number(self.base))?;
        let index = offset.checked_shr(shift)?;
        (index < self.parts()).then_some(index)
    }

    fn parts(&self) -> u128 {
        1u128 << (self.node_prefix - self.prefix).min(32)
    }

    fn part(&self, index: u128) -> String {
        let shift = self.width() - u32::from(self.node_prefix);
        let n = Self::number(self.base) + (index << shift);
        let ip = if self.base.is_ipv4() {
            IpAddr::from(u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes())
        } else {
            IpAddr::from(n.to_be_bytes())
        };
        format!("{ip}/{}", self.node_prefix)
    }
}

/// The controller.
pub struct NodeIpam {
    /// One for each address family.
    pub clusters: Vec<ClusterCidr>,
}

/// What a decision depends on: all nodes.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub nodes: Vec<Arc<Node>>,
}

const KEY: &str = "nodes";

impl Controller for NodeIpam {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.on::<Node>(|delta, caches, sink| {
            let had = delta.old.as_ref().map(|n| &n.spec.pod_cidr);
            let changed = had != delta.new.as_ref().map(|n| &n.spec.pod_cidr);
            // A range that is given or given back concerns nobody when every node has one.
            if changed && caches.kind::<Node>().count_by_index(WITHOUT_CIDR, "") > 0 {
                sink.add(Key::new("", KEY));
            }
        });
    }

    fn observe(&self, _: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let nodes = caches.kind::<Node>();
        if nodes.count_by_index(WITHOUT_CIDR, "") == 0 {
            return None;
        }
        Some(State { nodes: nodes.iter().cloned().collect() })
    }

    fn reconcile(&self, state: &State, _: &mut (), _: Timestamp) -> Plan {
        let mut used: Vec<BTreeSet<u128>> = vec![BTreeSet::new(); self.clusters.len()];
        for n in &state.nodes {
            for cidr in n.spec.pod_cidrs.iter().chain([&n.spec.pod_cidr]) {
                for (c, used) in self.clusters.iter().zip(&mut used) {
                    used.extend(c.index(cidr));
                }
            }
        }
        let mut plan = Plan::default();
        let mut actions = Vec::new();
        // Below these everything is taken; within one decision nothing is given back.
        let mut from: Vec<u128> = vec![0; self.clusters.len()];
        for n in state.nodes.iter().filter(|n| n.spec.pod_cidr.is_empty() && !n.metadata.deleting()) {
            let free: Option<Vec<u128>> = self
                .clusters
                .iter()
                .zip(&used)
                .zip(&from)
                .map(|((c, u), from)| (*from..c.parts()).find(|i| !u.contains(i)))
                .collect();
            let Some(free) = free.filter(|f| !f.is_empty()) else {
                let about = ObjectReference::to("v1", "Node", &n.metadata);
                let message = format!("Node {} status is now: CIDRNotAvailable", n.metadata.name);
                plan.events.push(EventRecord::normal(about, "CIDRNotAvailable", message));
                continue;
            };
            let cidrs: Vec<String> = self.clusters.iter().zip(&free).map(|(c, i)| c.part(*i)).collect();
            from.clone_from(&free);
            used.iter_mut().zip(free).for_each(|(u, i)| {
                u.insert(i);
            });
            let body = json!({
                "metadata": {"uid": n.metadata.uid},
                "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
            });
            let patch = Action::merge_patch(NODES, &n.metadata.key(), "", &body);
            actions.push(patch.tolerate(&["NotFound"]));
        }
        plan.step(actions);
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, cidr: &str) -> Arc<Node> {
        let text = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"podCIDR":"{cidr}"}}}}"#);
        Arc::new(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn each_node_gets_its_own_part() {
        let ipam = NodeIpam { clusters: vec![ClusterCidr::parse("10.244.0.0/22").unwrap()] };
        let nodes =
            vec![node("a", "10.244.1.0/24"), node("b", ""), node("c", ""), node("d", ""), node("e", "")];
        let plan = ipam.reconcile(&State { nodes }, &mut (), Timestamp::UNIX_EPOCH);
        let cidrs: Vec<String> = plan
            .actions()
            .map(|a| match &a.op {
                reconcile::Op::Patch { body, .. } => {
                    let v: serde_json::Value = serde_json::from_slice(body).unwrap();
                    v["spec"]["podCIDR"].as_str().unwrap().to_owned()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(cidrs, vec!["10.244.0.0/24", "10.244.2.0/24", "10.244.3.0/24"]);
        assert_eq!(plan.events.len(), 1);
    }

    /// Who has a range already, or gives one back, costs no look at all nodes while nobody waits for one.
    #[cfg(debug_assertions)]
    #[test]
    fn nodes_are_looked_at_only_when_one_waits() {
        let ipam = NodeIpam { clusters: vec![ClusterCidr::parse("10.0.0.0/8").unwrap()] };
        let mut caches = Caches::default();
        for i in 0..100 {
            let cidr = format!("10.0.{i}.0/24");
            caches.kind_mut::<Node>().upsert((*node(&format!("n{i}"), &cidr)).clone());
        }
        let key = Key::new("", KEY);
        assert!(ipam.observe(&key, &caches, &Answers::default()).is_none());
        assert_eq!(caches.kind::<Node>().looked_at(), 0);
        caches.kind_mut::<Node>().upsert((*node("new", "")).clone());
        assert_eq!(ipam.observe(&key, &caches, &Answers::default()).map(|s| s.nodes.len()), Some(101));
    }

    #[test]
    fn both_families() {
        let six = ClusterCidr::parse("fd00:10::/56").unwrap();
        assert_eq!(six.part(3), "fd00:10:0:3::/64");
        assert_eq!(six.index("fd00:10:0:3::/64"), Some(3));
        assert_eq!(six.index("10.0.0.0/24"), None);
    }
}

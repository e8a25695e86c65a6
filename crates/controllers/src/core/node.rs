//! What controllers read of nodes.

use meta::Gvr;
use reconcile::{IndexSink, ObjectMeta, Projection};
use serde::{Deserialize, Serialize};

use super::condition::{Condition, find};

/// `nodes`.
pub const NODES: Gvr = Gvr::new("", "v1", "nodes");
/// The taint of a node that says that it is not ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The taint of a node that went silent.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// The label of a node whose zone is not judged by it.
const NOT_COUNTED: &str = "node.kubernetes.io/exclude-disruption";

/// Index: nodes by zone.
pub const BY_ZONE: &str = "zone";
/// Index: nodes that are not ready, by zone.
pub const NOT_READY_BY_ZONE: &str = "zone/not-ready";
/// Index: nodes whose pods are told to leave because it is not ready, by zone.
pub const EMPTIED_BY_ZONE: &str = "zone/emptied";
/// Index: nodes that are not ready and whose pods have not been told to leave, by zone.
pub const WAITING_BY_ZONE: &str = "zone/waiting";
/// Index: nodes that are ready, under the empty name.
pub const READY: &str = "ready";
/// Index: nodes without a range of pod addresses, under the empty name.
pub const WITHOUT_CIDR: &str = "without-cidr";

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: ObjectMeta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Box<str>,
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Box<[Box<str>]>,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
}

/// Its status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    pub conditions: Vec<Condition>,
    pub addresses: Box<[Address]>,
}

/// What a node is reached by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Address {
    /// `InternalIP`, `ExternalIP`, `Hostname`, ...
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub address: Box<str>,
}

/// A taint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    pub key: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub value: Box<str>,
    pub effect: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<jiff::Timestamp>,
}

impl Projection for Node {
    const GVR: Gvr = NODES;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn indexes(&self, sink: &mut IndexSink) {
        if self.spec.pod_cidr.is_empty() {
            sink.add(WITHOUT_CIDR, "");
        }
        let zone = self.zone();
        match (self.emptied(), self.empties()) {
            (true, _) => sink.add(EMPTIED_BY_ZONE, &zone),
            (false, Some(_)) if !self.metadata.deleting() => sink.add(WAITING_BY_ZONE, &zone),
            _ => {}
        }
        if self.metadata.labels.get(NOT_COUNTED).is_some() {
            return;
        }
        sink.add(BY_ZONE, &zone);
        match self.ready_status() {
            "True" => sink.add(READY, ""),
            _ => sink.add(NOT_READY_BY_ZONE, &zone),
        }
    }

    fn compact(&mut self) {
        self.metadata.annotations.retain(|_| false);
    }
}

impl Node {
    /// `True`, `False`, `Unknown`, or empty when the node has never reported.
    #[must_use]
    pub fn ready_status(&self) -> &str {
        find(&self.status.conditions, "Ready").map_or("", |c| &c.status)
    }

    /// Whether it has a taint of this key and effect.
    #[must_use]
    pub fn tainted(&self, key: &str, effect: &str) -> bool {
        self.spec.taints.iter().any(|t| *t.key == *key && *t.effect == *effect)
    }

    /// The `NoExecute` taint that its readiness asks for.
    #[must_use]
    pub fn empties(&self) -> Option<&'static str> {
        match self.ready_status() {
            "False" => Some(NOT_READY),
            "Unknown" => Some(UNREACHABLE),
            _ => None,
        }
    }

    /// Whether its pods are told to leave because it is not ready.
    #[must_use]
    pub fn emptied(&self) -> bool {
        self.spec.taints.iter().any(|t| &*t.effect == "NoExecute" && Node::says_not_ready(&t.key))
    }

    /// Whether a taint of this key says that a node is not ready.
    #[must_use]
    pub fn says_not_ready(key: &str) -> bool {
        key == NOT_READY || key == UNREACHABLE
    }

    /// Region and zone as one name.
    // k8s: staging/src/k8s.io/component-helpers/node/topology/helpers.go GetZoneKey
    #[must_use]
    pub fn zone(&self) -> String {
        let label = |new, old| {
            let labels = &self.metadata.labels;
            labels.get(new).or_else(|| labels.get(old)).unwrap_or("")
        };
        let region = label("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region");
        let zone = label("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone");
        format!("{region}:\0:{zone}")
    }
}

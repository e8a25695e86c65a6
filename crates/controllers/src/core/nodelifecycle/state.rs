//! What a decision on a node is made from.

use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{ObjectMeta, Projection};
use serde::Deserialize;

use crate::core::node::Node;
use crate::core::pod::Pod;

/// A node's lease.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Lease {
    pub metadata: ObjectMeta,
    pub spec: LeaseSpec,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    pub renew_time: Option<Timestamp>,
}

impl Projection for Lease {
    const GVR: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// The times that a node wrote last, by its own clock: good for telling whether it wrote again, and never to be
/// compared with this process's time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// In its lease.
    pub renewed: Option<Timestamp>,
    /// In its `Ready` condition.
    pub beat: Option<Timestamp>,
}

/// How the nodes of a zone are. All zeros for a node that is well: then nobody asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zone {
    pub nodes: usize,
    pub not_ready: usize,
    /// When the `NoExecute` taints for not being ready were put on them, by the clocks of those who did.
    pub taints: Vec<Timestamp>,
    /// How many nodes of the zone get that taint before this one.
    pub ahead: usize,
}

/// What a decision on a node depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub node: Arc<Node>,
    pub signs: Signs,
    /// Pods on it whose `Ready` condition is true, when the node is silent.
    pub ready_pods: Vec<Arc<Pod>>,
    pub zone: Zone,
    /// Whether any zone has a node that is ready.
    pub some_ready: bool,
}

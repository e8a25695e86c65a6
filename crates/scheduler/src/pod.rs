//! A pod as the scheduler keeps it: amounts computed once, and the parts of the spec that plugins read.

use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Key, StrMap};

use crate::model::{Affinity, Pod, SpreadConstraint, Toleration};
use crate::resources::{Amounts, requests};

/// A port taken on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Empty: all addresses.
    pub ip: Box<str>,
    pub protocol: Box<str>,
    pub port: u16,
}

impl HostPort {
    /// Whether both cannot be on one node.
    #[must_use]
    pub fn conflicts(&self, other: &HostPort) -> bool {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
        self.port == other.port
            && self.protocol == other.protocol
            && (any(&self.ip) || any(&other.ip) || self.ip == other.ip)
    }
}

/// What is kept of a pod.
#[derive(Clone, Debug)]
pub struct PodInfo {
    pub key: Key,
    pub uid: Arc<str>,
    pub labels: StrMap,
    /// UID of the managing owner, empty without one.
    pub owner: Arc<str>,
    pub created: Timestamp,
    pub priority: i32,
    pub may_preempt: bool,
    pub deleting: bool,
    pub node_name: Box<str>,
    pub nominated: Box<str>,
    pub requests: Amounts,
    /// CPU and memory with defaults for containers that ask for nothing.
    pub filled: (i64, i64),
    pub ports: Vec<HostPort>,
    pub node_selector: StrMap,
    pub affinity: Option<Box<Affinity>>,
    pub tolerations: Box<[Toleration]>,
    pub spread: Box<[SpreadConstraint]>,
    pub gated: bool,
    pub images: Vec<Box<str>>,
}

impl PodInfo {
    /// From the projection.
    #[must_use]
    pub fn new(pod: &Pod) -> Self {
        let (amounts, filled) = requests(&pod.spec);
        let spec = &pod.spec;
        let ports = spec.containers.iter().chain(&spec.init_containers).flat_map(|c| &c.ports);
        PodInfo {
            key: pod.metadata.key(),
            uid: pod.metadata.uid.clone(),
            labels: pod.metadata.labels.clone(),
            owner: pod.metadata.controller().map(|o| o.uid.clone()).unwrap_or_default(),
            created: pod.metadata.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
            priority: spec.priority.unwrap_or(0),
            may_preempt: spec.preemption_policy.as_deref() != Some("Never"),
            deleting: pod.metadata.deleting(),
            node_name: spec.node_name.clone(),
            nominated: pod.status.nominated_node_name.clone(),
            requests: amounts,
            filled,
            ports: ports
                .filter(|p| p.host_port > 0)
                .map(|p| HostPort {
                    ip: p.host_ip.clone(),
                    protocol: if p.protocol.is_empty() { "TCP".into() } else { p.protocol.clone() },
                    port: p.host_port,
                })
                .collect(),
            node_selector: spec.node_selector.clone(),
            affinity: spec.affinity.clone(),
            tolerations: spec.tolerations.clone(),
            spread: spec.topology_spread_constraints.clone(),
            gated: !spec.scheduling_gates.is_empty(),
            images: spec.containers.iter().map(|c| c.image.clone()).collect(),
        }
    }

    /// Whether the pod has terms that keep other pods away.
    #[must_use]
    pub fn repels(&self) -> bool {
        self.affinity
            .as_ref()
            .and_then(|a| a.pod_anti_affinity.as_ref())
            .is_some_and(|a| !a.required.is_empty())
    }
}

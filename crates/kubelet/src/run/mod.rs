//! The async shell: runs what pod workers ask for. Everything that can block or fail is here; nothing here
//! decides what a pod needs.

pub(crate) mod actor;
pub(crate) mod credentials;
pub(crate) mod events;
pub(crate) mod exits;
mod hooks;
mod images;
mod inspect;
mod kill;
pub(crate) mod limits;
pub(crate) mod pleg;
pub(crate) mod pods;
mod prober;
mod resize;
pub(crate) mod rotation;
mod start;
mod status;
mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;

use control::Context;
use cri::{Runtime, v1};
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::admit::asks::Abilities;
use crate::admit::node::NodeView;
use crate::cgroup::Cgroups;
use crate::config::Config;
use crate::objects::Objects;
use crate::spec::fields::Facts;
use crate::spec::resources::PodLimits;
use crate::volumes::Volumes;
use crate::worker::NodeFacts;

/// What all pods of the node share.
pub(crate) struct Shared {
    pub config: Arc<Config>,
    pub ctx: Context,
    pub runtime: Arc<dyn Runtime>,
    pub objects: Arc<Objects>,
    pub volumes: Volumes,
    pub cgroups: Cgroups,
    pub events: Arc<events::Events>,
    pub node: Arc<NodeFacts>,
    pub machine: Machine,
    /// The host's resolver configuration.
    pub host_dns: v1::DnsConfig,
    pub pulls: Semaphore,
    /// Asks for a look at the runtime now.
    pub poke: tokio::sync::Notify,
    /// Processes whose end is being waited for.
    pub exits: Arc<exits::Exits>,
    /// The Node as last read.
    pub own_node: Mutex<Arc<NodeView>>,
    /// What the runtime and the kernel can do, as last seen.
    pub abilities: Mutex<Abilities>,
    /// Pods that cannot be read.
    pub unread: Mutex<pods::Unread>,
    /// The actors' doors, by pod UID.
    pub actors: Mutex<BTreeMap<String, actor::Door>>,
}

/// Numbers of the machine that pods' settings depend on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// The kernel's version, its first two numbers.
    pub kernel: (u32, u32),
    pub cpus: u32,
    pub memory_bytes: i64,
    pub storage_bytes: i64,
    pub allocatable_milli_cpu: i64,
    pub allocatable_memory_bytes: i64,
    pub allocatable_storage_bytes: i64,
    /// What all pods together are held to.
    pub for_pods: PodLimits,
    /// Set when this process may not lower OOM scores: its own.
    pub own_oom_score: Option<i64>,
}

impl Shared {
    /// What the downward API can say of a pod with these addresses.
    pub fn facts(&self, pod: &Pod, ips: &[String]) -> Facts {
        use crate::spec::PodExt;
        Facts {
            pod_ips: if pod.host_network() { self.node.host_ips.clone() } else { ips.to_vec() },
            host_ips: self.node.host_ips.clone(),
            allocatable_milli_cpu: self.machine.allocatable_milli_cpu,
            allocatable_memory_bytes: self.machine.allocatable_memory_bytes,
            allocatable_storage_bytes: self.machine.allocatable_storage_bytes,
        }
    }
}

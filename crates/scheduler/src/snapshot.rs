//! The cluster as the scheduler sees it, kept up to date event by event. Pods that were just decided
//! ("assumed") are in it before their binding is seen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::Node;
use crate::pod::PodInfo;
use crate::resources::Amounts;

/// One node and what is on it.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    pub name: Box<str>,
    /// Absent while only pods of it are known.
    pub node: Option<Arc<Node>>,
    pub allocatable: Amounts,
    pub max_pods: usize,
    pub requested: Amounts,
    /// CPU and memory with defaults for containers that ask for nothing.
    pub filled: (i64, i64),
    pub pods: BTreeMap<Arc<str>, Arc<PodInfo>>,
    /// Its number, which no other node of this snapshot ever has: for counting without its name.
    pub slot: u32,
    /// Whether it has the host name label.
    pub has_hostname: bool,
    /// The number of its zone among [`Snapshot::zones`].
    pub zone: Option<usize>,
}

impl NodeInfo {
    fn account(&mut self, pod: &PodInfo, times: i64) {
        self.requested.add(&pod.requests, times);
        self.filled.0 += times * pod.filled.0;
        self.filled.1 += times * pod.filled.1;
    }

    /// Puts a pod on the node.
    pub fn add(&mut self, pod: Arc<PodInfo>) {
        self.account(&pod, 1);
        self.pods.insert(pod.uid.clone(), pod);
    }

    /// Takes a pod off the node.
    pub fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.account(&pod, -1);
        Some(pod)
    }

    /// The value of a node label; empty topology values count as absent.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.node.as_ref()?.metadata.labels.get(key)
    }
}

/// Numbers of pods by [`NodeInfo::slot`].
pub type PerNode = HashMap<u32, u32>;

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// All nodes and the pods on them.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In the order in which they were first seen; a removed node leaves a gap that is filled from the end.
    pub nodes: Vec<NodeInfo>,
    index: HashMap<Box<str>, usize>,
    next_slot: u32,
    /// Zones in the order in which they were first seen.
    pub zones: Vec<Box<str>>,
    /// Pod UID to node name.
    placed: HashMap<Arc<str>, Box<str>>,
    /// Pods with required anti-affinity, by UID, with their node's name.
    pub repelling: BTreeMap<Arc<str>, Box<str>>,
    /// How many pods of one owner are on each node. Shared with decisions in the making, so that they need no
    /// copy.
    owners: HashMap<Arc<str>, Arc<PerNode>>,
}

impl Snapshot {
    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.index.get(name).map(|i| &self.nodes[*i])
    }

    /// How many nodes there are, not counting those known by their pods alone.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.iter().filter(|n| n.node.is_some()).count()
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entry(&mut self, name: &str) -> &mut NodeInfo {
        if let Some(&at) = self.index.get(name) {
            return &mut self.nodes[at];
        }
        let at = self.nodes.len();
        self.index.insert(name.into(), at);
        self.nodes.push(NodeInfo { name: name.into(), slot: self.next_slot, ..NodeInfo::default() });
        self.next_slot += 1;
        &mut self.nodes[at]
    }

    /// A node came or changed.
    pub fn set_node(&mut self, node: Arc<Node>) {
        let zone = node.metadata.labels.get(ZONE).map(|zone| self.zone(zone));
        let info = self.entry(&node.metadata.name);
        info.zone = zone;
        info.has_hostname = node.metadata.labels.get(HOSTNAME).is_some();
        info.allocatable = Amounts::parse(&node.status.allocatable);
        let pods = node.status.allocatable.get("pods").and_then(|p| p.parse().ok());
        info.max_pods = pods.unwrap_or(0);
        info.node = Some(node);
    }

    fn zone(&mut self, name: &str) -> usize {
        self.zones.iter().position(|z| **z == *name).unwrap_or_else(|| {
            self.zones.push(name.into());
            self.zones.len() - 1
        })
    }

    /// A node went. Its pods are remembered until they go too.
    pub fn remove_node(&mut self, name: &str) {
        if let Some(&at) = self.index.get(name) {
            self.nodes[at].node = None;
            self.drop_if_empty(at);
        }
    }

    fn drop_if_empty(&mut self, at: usize) {
        if self.nodes[at].node.is_some() || !self.nodes[at].pods.is_empty() {
            return;
        }
        let gone = self.nodes.swap_remove(at);
        self.index.remove(&gone.name);
        if let Some(moved) = self.nodes.get(at) {
            self.index.insert(moved.name.clone(), at);
        }
    }

    /// A pod is on a node, or is about to be. Replaces what was known of it.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.remove_pod(&pod.uid);
        self.placed.insert(pod.uid.clone(), node.into());
        if pod.repels() {
            self.repelling.insert(pod.uid.clone(), node.into());
        }
        let (owner, info) = (pod.owner.clone(), self.entry(node));
        info.add(pod);
        let slot = info.slot;
        if !owner.is_empty() {
            let counts = Arc::make_mut(self.owners.entry(owner).or_default());
            *counts.entry(slot).or_default() += 1;
        }
    }

    /// A pod is gone from its node, if it was on one.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let node = self.placed.remove(uid)?;
        self.repelling.remove(uid);
        let at = *self.index.get(&node)?;
        let pod = self.nodes[at].remove(uid)?;
        let slot = self.nodes[at].slot;
        if let Some(counts) = self.owners.get_mut(&pod.owner).map(Arc::make_mut) {
            if let Some(n) = counts.get_mut(&slot) {
                *n -= 1;
                if *n == 0 {
                    counts.remove(&slot);
                }
            }
            if counts.is_empty() {
                self.owners.remove(&pod.owner);
            }
        }
        self.drop_if_empty(at);
        Some(pod)
    }

    /// The node a pod is placed on.
    #[must_use]
    pub fn placed_on(&self, uid: &str) -> Option<&str> {
        self.placed.get(uid).map(AsRef::as_ref)
    }

    /// Pods of `owner` per node.
    #[must_use]
    pub fn of_owner(&self, owner: &str) -> Option<&Arc<PerNode>> {
        self.owners.get(owner)
    }

    /// All placed pods with their nodes.
    pub fn pods(&self) -> impl Iterator<Item = (&NodeInfo, &Arc<PodInfo>)> {
        self.nodes.iter().flat_map(|n| n.pods.values().map(move |p| (n, p)))
    }
}

//! The cluster as the scheduler sees it, kept up to date event by event. Pods that were just decided
//! ("assumed") are in it before their binding is seen. Every change of a node or of what is on it gives the node a
//! new generation, so that what was worked out about it is known to be stale.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use reconcile::{LabelSelector, StrMap};

use crate::columns::Columns;
use crate::ledgers::{Around, Ledgers};
use crate::model::Node;
use crate::pod::{Identity, Part, PodInfo, Wants, normalized};
use crate::resources::Amounts;

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";

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
    /// Never the same again in this snapshot after a change; 0 is nobody's.
    pub generation: u64,
}

impl NodeInfo {
    fn account(&mut self, pod: &PodInfo, times: i64) {
        self.requested.add(&pod.needs.requests, times);
        self.filled.0 += times * pod.needs.filled.0;
        self.filled.1 += times * pod.needs.filled.1;
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

    /// The value of a node label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.node.as_ref()?.metadata.labels.get(key)
    }
}

/// Labels of namespaces.
#[derive(Debug, Default)]
pub struct Namespaces(HashMap<Arc<str>, StrMap>);

impl Namespaces {
    /// Whether the selector selects the namespace. One that is not known has no labels.
    #[must_use]
    pub fn selected(&self, selector: &LabelSelector, name: &str) -> bool {
        match self.0.get(name) {
            Some(labels) => selector.matches(labels),
            None => selector.matches(&StrMap::default()),
        }
    }
}

/// The parts of a snapshot that ledgers read.
pub struct World<'a> {
    /// By slot.
    pub nodes: &'a [NodeInfo],
    /// Slots in the order in which nodes are looked at.
    pub order: &'a [usize],
    index: &'a HashMap<Box<str>, usize>,
    /// The lowest priority of a placed pod.
    pub lowest: Option<i32>,
    pub columns: &'a mut Columns,
    pub namespaces: &'a Namespaces,
    /// Placed pods with terms about other pods, by the number of their wants.
    pub seekers: &'a BTreeMap<u64, Seekers>,
    /// All placed pods, by the numbers of their identity and their wants.
    pub kin: &'a HashMap<(u64, u64), Kin>,
}

/// How many pods there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub all: i64,
    /// Those of them that are being deleted.
    pub leaving: i64,
}

/// Placed pods that look alike to other pods.
#[derive(Debug)]
pub struct Kin {
    pub identity: Part<Identity>,
    pub wants: Part<Wants>,
    /// By slot.
    pub slots: BTreeMap<usize, Count>,
}

/// Placed pods with equal terms about other pods.
#[derive(Debug)]
pub struct Seekers {
    pub wants: Part<Wants>,
    /// How many there are, by slot.
    pub slots: BTreeMap<usize, i64>,
}

impl World<'_> {
    /// The slot of a node that is there.
    #[must_use]
    pub fn present(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied().filter(|slot| self.nodes[*slot].node.is_some())
    }
}

/// All nodes and the pods on them.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// By slot. A slot without a name is free.
    nodes: Vec<NodeInfo>,
    free: Vec<usize>,
    index: HashMap<Box<str>, usize>,
    /// Slots of the nodes that are there, in the order in which they are looked at; none when it is to be made anew.
    order: Option<Vec<usize>>,
    /// Nodes by number of their arrival.
    arrivals: BTreeMap<u64, usize>,
    generation: u64,
    placed: HashMap<Arc<str>, usize>,
    seekers: BTreeMap<u64, Seekers>,
    kin: HashMap<(u64, u64), Kin>,
    /// How many placed pods have a priority.
    priorities: BTreeMap<i32, usize>,
    /// How many nodes have an image.
    images: HashMap<Box<str>, usize>,
    namespaces: Namespaces,
    columns: Columns,
    ledgers: Ledgers,
}

impl Snapshot {
    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.slot(name).map(|slot| &self.nodes[slot])
    }

    /// The slot of the node of that name.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The node in a slot.
    #[must_use]
    pub fn at(&self, slot: usize) -> &NodeInfo {
        &self.nodes[slot]
    }

    /// How many nodes there are, not counting those known by their pods alone.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// Brings the order of the nodes up to date.
    pub fn settle(&mut self) {
        if self.columns.crowded(self.len()) {
            self.columns.clear();
            self.ledgers.clear();
        }
        if self.order.is_none() {
            self.order = Some(self.by_zone());
        }
    }

    /// Slots of all nodes, zone by zone in turn.
    // k8s: pkg/scheduler/backend/cache/node_tree.go list
    fn by_zone(&self) -> Vec<usize> {
        let mut zones: Vec<std::collections::VecDeque<usize>> = Vec::new();
        let mut numbers: HashMap<(&str, &str), usize> = HashMap::new();
        for slot in self.arrivals.values() {
            let node = &self.nodes[*slot];
            let zone = (node.label(REGION).unwrap_or_default(), node.label(ZONE).unwrap_or_default());
            let number = *numbers.entry(zone).or_insert_with(|| {
                zones.push(std::collections::VecDeque::new());
                zones.len() - 1
            });
            zones[number].push_back(*slot);
        }
        let mut out = Vec::with_capacity(self.arrivals.len());
        while out.len() < self.arrivals.len() {
            out.extend(zones.iter_mut().filter_map(std::collections::VecDeque::pop_front));
        }
        out
    }

    fn entry(&mut self, name: &str) -> usize {
        if let Some(slot) = self.slot(name) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(NodeInfo::default());
            self.nodes.len() - 1
        });
        self.index.insert(name.into(), slot);
        self.nodes[slot].name = name.into();
        self.touch(slot);
        slot
    }

    fn touch(&mut self, slot: usize) {
        self.generation += 1;
        self.nodes[slot].generation = self.generation;
    }

    /// A node came or changed.
    pub fn set_node(&mut self, node: Arc<Node>) {
        let slot = self.entry(&node.metadata.name);
        let old = self.nodes[slot].node.clone();
        let moved =
            old.as_ref().is_none_or(|o| o.metadata.labels != node.metadata.labels || o.spec != node.spec);
        if old.as_ref().is_none_or(|o| o.status.images != node.status.images) {
            old.iter().for_each(|o| self.count_images(o, false));
            self.count_images(&node, true);
        }
        if moved && old.is_some() {
            self.leave(slot);
        }
        self.touch(slot);
        let info = &mut self.nodes[slot];
        info.allocatable = Amounts::parse(&node.status.allocatable);
        let pods = node.status.allocatable.get("pods").and_then(|p| p.parse().ok());
        info.max_pods = pods.unwrap_or(0);
        info.node = Some(node);
        if old.is_none() {
            self.arrivals.insert(self.generation, slot);
        }
        if moved {
            self.order = None;
            self.columns.update(slot, &self.nodes[slot]);
            self.enter(slot);
        }
    }

    fn count_images(&mut self, node: &Node, more: bool) {
        let names: BTreeSet<Box<str>> =
            node.status.images.iter().flat_map(|i| &i.names).map(|n| normalized(n)).collect();
        for name in names {
            if more {
                *self.images.entry(name).or_default() += 1;
            } else if let Some(n) = self.images.get_mut(&name) {
                *n -= 1;
                if *n == 0 {
                    self.images.remove(&name);
                }
            }
        }
    }

    /// Which part of the nodes has an image.
    #[must_use]
    pub fn image_part(&self, image: &str) -> f64 {
        self.images.get(image).copied().unwrap_or(0) as f64 / self.len().max(1) as f64
    }

    /// The parts that ledgers read.
    pub fn world(&mut self) -> World<'_> {
        self.ledgers().1
    }

    fn ledgers(&mut self) -> (&mut Ledgers, World<'_>) {
        let world = World {
            nodes: &self.nodes,
            order: self.order.as_deref().unwrap_or_default(),
            index: &self.index,
            lowest: self.priorities.first_key_value().map(|(lowest, _)| *lowest),
            columns: &mut self.columns,
            namespaces: &self.namespaces,
            seekers: &self.seekers,
            kin: &self.kin,
        };
        (&mut self.ledgers, world)
    }

    /// Takes a node and its pods out of all counts.
    fn leave(&mut self, slot: usize) {
        let (ledgers, mut world) = self.ledgers();
        for pod in world.nodes[slot].pods.values() {
            ledgers.pod(pod, slot, -1, &mut world);
        }
        ledgers.node_out(slot, &world);
    }

    fn enter(&mut self, slot: usize) {
        let (ledgers, mut world) = self.ledgers();
        ledgers.node_in(slot, &world);
        for pod in world.nodes[slot].pods.values() {
            ledgers.pod(pod, slot, 1, &mut world);
        }
    }

    /// A node went. Its pods are remembered until they go too.
    pub fn remove_node(&mut self, name: &str) {
        let Some(slot) = self.slot(name) else { return };
        if let Some(old) = self.nodes[slot].node.clone() {
            self.count_images(&old, false);
            self.leave(slot);
            self.nodes[slot].node = None;
            self.columns.update(slot, &self.nodes[slot]);
            self.touch(slot);
            self.arrivals.retain(|_, s| *s != slot);
            self.order = None;
        }
        self.drop_if_empty(slot);
    }

    fn drop_if_empty(&mut self, slot: usize) {
        if self.nodes[slot].node.is_none() && self.nodes[slot].pods.is_empty() {
            let gone = std::mem::take(&mut self.nodes[slot]);
            self.index.remove(&gone.name);
            self.free.push(slot);
        }
    }

    fn count_seeker(&mut self, pod: &PodInfo, slot: usize, sign: i64) {
        if !pod.wants.has_terms() {
            return;
        }
        let new = || Seekers { wants: pod.wants.clone(), slots: BTreeMap::new() };
        let seekers = self.seekers.entry(pod.wants.id).or_insert_with(new);
        let count = seekers.slots.entry(slot).or_default();
        *count += sign;
        if *count == 0 {
            seekers.slots.remove(&slot);
        }
        if seekers.slots.is_empty() {
            self.seekers.remove(&pod.wants.id);
        }
    }

    fn count_kin(&mut self, pod: &PodInfo, slot: usize, sign: i64) {
        let id = (pod.identity.id, pod.wants.id);
        let new = || Kin { identity: pod.identity.clone(), wants: pod.wants.clone(), slots: BTreeMap::new() };
        let kin = self.kin.entry(id).or_insert_with(new);
        let count = kin.slots.entry(slot).or_default();
        count.all += sign;
        count.leaving += sign * i64::from(pod.deleting);
        if count.all == 0 {
            kin.slots.remove(&slot);
        }
        if kin.slots.is_empty() {
            self.kin.remove(&id);
        }
    }

    /// A pod is on a node, or is about to be. Replaces what was known of it.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.remove_pod(&pod.uid);
        let slot = self.entry(node);
        self.placed.insert(pod.uid.clone(), slot);
        self.count_seeker(&pod, slot, 1);
        self.count_kin(&pod, slot, 1);
        *self.priorities.entry(pod.priority).or_default() += 1;
        self.touch(slot);
        self.nodes[slot].add(pod.clone());
        if self.nodes[slot].node.is_some() {
            let (ledgers, mut world) = self.ledgers();
            ledgers.pod(&pod, slot, 1, &mut world);
        }
    }

    /// A pod is gone from its node, if it was on one.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let slot = self.placed.remove(uid)?;
        let pod = self.nodes[slot].remove(uid)?;
        self.touch(slot);
        self.count_seeker(&pod, slot, -1);
        self.count_kin(&pod, slot, -1);
        if let Some(n) = self.priorities.get_mut(&pod.priority) {
            *n -= 1;
            if *n == 0 {
                self.priorities.remove(&pod.priority);
            }
        }
        if self.nodes[slot].node.is_some() {
            let (ledgers, mut world) = self.ledgers();
            ledgers.pod(&pod, slot, -1, &mut world);
        }
        self.drop_if_empty(slot);
        Some(pod)
    }

    /// Labels of a namespace; `None` when it is gone.
    pub fn set_namespace(&mut self, name: &str, labels: Option<&StrMap>) {
        let old = match labels {
            Some(labels) => self.namespaces.0.insert(name.into(), labels.clone()),
            None => self.namespaces.0.remove(name),
        };
        if old.as_ref() != labels {
            self.ledgers.namespaces_changed();
        }
    }

    /// A placed pod and the name of its node.
    #[must_use]
    pub fn placed(&self, uid: &str) -> Option<(&str, &Arc<PodInfo>)> {
        let node = &self.nodes[*self.placed.get(uid)?];
        Some((&node.name, node.pods.get(uid)?))
    }

    /// What a pod finds around it. To be given back with [`Snapshot::put_back`] before anything changes.
    pub fn around(&mut self, pod: &PodInfo) -> Around {
        let (ledgers, mut world) = self.ledgers();
        ledgers.take(pod, &mut world)
    }

    /// Takes back what [`Snapshot::around`] gave.
    pub fn put_back(&mut self, pod: &PodInfo, around: Around) {
        self.ledgers.put(pod, around);
    }

    /// Forgets what was counted, so that it is counted anew. Nothing comes out differently.
    pub fn forget(&mut self) {
        self.ledgers.clear();
    }
}

//! A pod as the scheduler keeps it: amounts computed once, and the parts of the spec that plugins read. Equal parts of
//! different pods are kept once, so that pods of one template can share the work that is done for them.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Key, LabelSelector, Operator, Requirement, StrMap};

use crate::model::{
    Affinity, Condition, DISRUPTION_TARGET, NodeAffinity, PREEMPTION, Pod, PodAffinity, PodTerm, SCHEDULED,
    SpreadConstraint, Toleration,
};
use crate::resources::{Amounts, requests};

/// A port taken on the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

/// What a pod asks of a node, whatever else is in the cluster.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct Needs {
    pub requests: Amounts,
    /// CPU and memory with defaults for containers that ask for nothing.
    pub filled: (i64, i64),
    pub ports: Vec<HostPort>,
    pub node_selector: StrMap,
    pub node_affinity: Option<NodeAffinity>,
    pub tolerations: Box<[Toleration]>,
    /// With a tag or digest each.
    pub images: Vec<Box<str>>,
}

/// What a pod asks of the pods around it.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct Wants {
    pub namespace: Arc<str>,
    /// UID of the ReplicaSet, ReplicationController or StatefulSet among whose pods it spreads; empty when it says
    /// itself how to spread, or has no such owner.
    pub siblings: Arc<str>,
    /// With `matchLabelKeys` made part of the selectors.
    pub spread: Box<[SpreadConstraint]>,
    pub near: PodAffinity,
    pub far: PodAffinity,
    /// Which nodes count for spreading.
    pub nodes: Option<Part<Needs>>,
}

impl Wants {
    /// Whether it wants nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.siblings.is_empty() && self.spread.is_empty() && !self.has_terms()
    }

    /// Whether it has terms about other pods.
    #[must_use]
    pub fn has_terms(&self) -> bool {
        [&self.near, &self.far].iter().any(|a| !a.required.is_empty() || !a.preferred.is_empty())
    }

    /// All terms.
    pub fn terms(&self) -> impl Iterator<Item = &PodTerm> {
        [&self.near, &self.far]
            .into_iter()
            .flat_map(|a| a.required.iter().chain(a.preferred.iter().map(|p| &p.pod_affinity_term)))
    }
}

/// What other pods' selectors see of a pod.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    pub namespace: Arc<str>,
    pub labels: StrMap,
}

/// A part that equal pods share. Its number is never given to another part of its kind, and parts are compared by it.
#[derive(Debug)]
pub struct Part<T> {
    pub id: u64,
    value: Arc<T>,
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Part { id: self.id, value: self.value.clone() }
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PartialEq for Part<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<T> Eq for Part<T> {}

impl<T> Hash for Part<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// So many parts are kept before those that no pod has any more are looked for.
const PARTS: usize = 256;

#[derive(Debug)]
struct Shelf<T> {
    parts: HashMap<Arc<T>, u64>,
    next: u64,
    sweep_at: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf { parts: HashMap::new(), next: 0, sweep_at: PARTS }
    }
}

impl<T: Eq + Hash> Shelf<T> {
    fn part(&mut self, value: T) -> Part<T> {
        if let Some((value, id)) = self.parts.get_key_value(&value) {
            return Part { id: *id, value: value.clone() };
        }
        if self.parts.len() >= self.sweep_at {
            self.parts.retain(|value, _| Arc::strong_count(value) > 1);
            self.sweep_at = PARTS.max(self.parts.len() * 2);
        }
        let (value, id) = (Arc::new(value), self.next);
        self.next += 1;
        self.parts.insert(value.clone(), id);
        Part { id, value }
    }
}

/// The parts of all pods.
#[derive(Debug, Default)]
pub struct Parts {
    needs: Shelf<Needs>,
    wants: Shelf<Wants>,
    identities: Shelf<Identity>,
}

impl Parts {
    /// What is kept of a pod.
    pub fn info(&mut self, pod: &Pod) -> PodInfo {
        let spec = &pod.spec;
        let needs = self.needs.part(needs(pod));
        let wants = self.wants.part(wants(pod, &needs));
        let (namespace, labels) = (pod.metadata.namespace.clone(), pod.metadata.labels.clone());
        let preempted =
            |c: &Condition| &*c.kind == DISRUPTION_TARGET && &*c.status == "True" && &*c.reason == PREEMPTION;
        PodInfo {
            key: pod.metadata.key(),
            uid: pod.metadata.uid.clone(),
            needs,
            wants,
            identity: self.identities.part(Identity { namespace, labels }),
            created: pod.metadata.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
            started: pod.status.start_time.unwrap_or(Timestamp::MAX),
            priority: spec.priority.unwrap_or(0),
            may_preempt: spec.preemption_policy.as_deref() != Some("Never"),
            deleting: pod.metadata.deleting(),
            preempted: pod.status.conditions.iter().any(preempted),
            node_name: spec.node_name.clone(),
            nominated: pod.status.nominated_node_name.clone(),
            gated: !spec.scheduling_gates.is_empty(),
            told: pod
                .status
                .conditions
                .iter()
                .find(|c| &*c.kind == SCHEDULED && &*c.status == "False")
                .map(|c| Box::new(Told { reason: c.reason.clone(), message: c.message.clone() })),
        }
    }
}

/// What is kept of a pod.
#[derive(Clone, Debug)]
pub struct PodInfo {
    pub key: Key,
    pub uid: Arc<str>,
    pub needs: Part<Needs>,
    pub wants: Part<Wants>,
    pub identity: Part<Identity>,
    pub created: Timestamp,
    /// When the kubelet took it up; the end of time before that.
    pub started: Timestamp,
    pub priority: i32,
    pub may_preempt: bool,
    pub deleting: bool,
    /// Whether it is to go for another pod's sake.
    pub preempted: bool,
    pub node_name: Box<str>,
    pub nominated: Box<str>,
    pub gated: bool,
    /// What its status says about why it has no node.
    pub told: Option<Box<Told>>,
}

/// Reason and message of a condition PodScheduled that is False.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub reason: Box<str>,
    pub message: Box<str>,
}

impl PodInfo {
    /// From the projection, sharing nothing: to look at one pod alone.
    #[must_use]
    pub fn new(pod: &Pod) -> Self {
        Parts::default().info(pod)
    }
}

fn needs(pod: &Pod) -> Needs {
    let spec = &pod.spec;
    let (requests, filled) = requests(spec);
    let ports = spec.containers.iter().chain(&spec.init_containers).flat_map(|c| &c.ports);
    Needs {
        requests,
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
        node_affinity: spec.affinity.as_ref().and_then(|a| a.node_affinity.clone()),
        tolerations: spec.tolerations.clone(),
        images: spec.containers.iter().map(|c| normalized(&c.image)).collect(),
    }
}

/// An image without tag or digest is `latest`.
// k8s: pkg/scheduler/framework/plugins/imagelocality/image_locality.go normalizedImageName
#[must_use]
pub fn normalized(image: &str) -> Box<str> {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') { image.into() } else { format!("{image}:latest").into() }
}

fn wants(pod: &Pod, needs: &Part<Needs>) -> Wants {
    let spec = &pod.spec;
    let mut spread = spec.topology_spread_constraints.clone();
    for c in &mut spread {
        let keys = std::mem::take(&mut c.match_label_keys);
        if let Some(selector) = &mut c.label_selector {
            require(selector, &keys, Operator::In, &pod.metadata.labels);
        }
    }
    let siblings = pod.metadata.controller().filter(|o| {
        let spreads = matches!(&*o.kind, "ReplicaSet" | "StatefulSet" | "ReplicationController");
        spreads && spread.is_empty()
    });
    let of = |which: fn(&Affinity) -> &Option<PodAffinity>| {
        let mut out = spec.affinity.as_ref().and_then(|a| which(a).clone()).unwrap_or_default();
        let preferred = out.preferred.iter_mut().map(|p| &mut p.pod_affinity_term);
        out.required.iter_mut().chain(preferred).for_each(|t| resolve(t, &pod.metadata.labels));
        out
    };
    let nodes = (!spread.is_empty() || siblings.is_some()).then(|| needs.clone());
    Wants {
        namespace: pod.metadata.namespace.clone(),
        siblings: siblings.map(|o| o.uid.clone()).unwrap_or_default(),
        spread,
        near: of(|a| &a.pod_affinity),
        far: of(|a| &a.pod_anti_affinity),
        nodes,
    }
}

/// Makes the label keys of a term part of its selector.
// k8s: pkg/registry/core/pod/strategy.go applyMatchLabelKeysAndMismatchLabelKeys
fn resolve(term: &mut PodTerm, labels: &StrMap) {
    let (same, other) =
        (std::mem::take(&mut term.match_label_keys), std::mem::take(&mut term.mismatch_label_keys));
    if let Some(selector) = &mut term.label_selector {
        require(selector, &same, Operator::In, labels);
        require(selector, &other, Operator::NotIn, labels);
    }
}

fn require(selector: &mut LabelSelector, keys: &[Box<str>], operator: Operator, labels: &StrMap) {
    for key in keys {
        let Some(value) = labels.get(key) else { continue };
        let new = Requirement { key: key.to_string(), operator, values: vec![value.to_owned()] };
        // The API server may have put it in.
        if !selector.match_expressions.contains(&new) {
            selector.match_expressions.push(new);
        }
    }
}

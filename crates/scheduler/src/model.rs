//! What the scheduler reads of a Pod and of a Node, straight from their JSON bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{LabelSelector, ObjectMeta, Projection, StrMap, null_default};
use serde::Deserialize;

/// core/v1 Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: ObjectMeta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

impl Projection for Pod {
    const GVR: Gvr = Gvr::new("", "v1", "pods");

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn compact(&mut self) {
        self.metadata.annotations = StrMap::default();
        let matters = |c: &Condition| match &*c.kind {
            DISRUPTION_TARGET => true,
            SCHEDULED => &*c.status == "False",
            _ => false,
        };
        self.status.conditions.retain(matters);
        self.status.conditions.shrink_to_fit();
    }
}

/// The condition that says whether a pod has a node.
pub const SCHEDULED: &str = "PodScheduled";
/// The condition of a pod that is being preempted, and the reason that says so.
pub const DISRUPTION_TARGET: &str = "DisruptionTarget";
pub const PREEMPTION: &str = "PreemptionByScheduler";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub node_name: Box<str>,
    pub scheduler_name: Box<str>,
    pub priority: Option<i32>,
    pub preemption_policy: Option<Box<str>>,
    #[serde(deserialize_with = "null_default")]
    pub node_selector: StrMap,
    pub affinity: Option<Box<Affinity>>,
    #[serde(deserialize_with = "null_default")]
    pub tolerations: Box<[Toleration]>,
    #[serde(deserialize_with = "null_default")]
    pub containers: Vec<Container>,
    #[serde(deserialize_with = "null_default")]
    pub init_containers: Vec<Container>,
    #[serde(deserialize_with = "null_default")]
    pub overhead: StrMap,
    pub resources: Option<Resources>,
    #[serde(deserialize_with = "null_default")]
    pub topology_spread_constraints: Box<[SpreadConstraint]>,
    #[serde(deserialize_with = "null_default")]
    pub scheduling_gates: Box<[Gate]>,
    pub host_network: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Box<str>,
    pub nominated_node_name: Box<str>,
    pub start_time: Option<Timestamp>,
    #[serde(deserialize_with = "null_default")]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub status: Box<str>,
    pub reason: Box<str>,
    pub message: Box<str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub image: Box<str>,
    pub resources: Resources,
    #[serde(deserialize_with = "null_default")]
    pub ports: Vec<Port>,
    pub restart_policy: Option<Box<str>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resources {
    #[serde(deserialize_with = "null_default")]
    pub requests: StrMap,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    pub host_port: u16,
    #[serde(rename = "hostIP")]
    pub host_ip: Box<str>,
    pub protocol: Box<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Gate {
    pub name: Box<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    pub key: Box<str>,
    pub operator: Box<str>,
    pub value: Box<str>,
    pub effect: Box<str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    pub node_affinity: Option<NodeAffinity>,
    pub pod_affinity: Option<PodAffinity>,
    pub pod_anti_affinity: Option<PodAffinity>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution", deserialize_with = "null_default")]
    pub preferred: Vec<PreferredNodeTerm>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    #[serde(deserialize_with = "null_default")]
    pub node_selector_terms: Vec<NodeTerm>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct PreferredNodeTerm {
    pub weight: i64,
    pub preference: NodeTerm,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeTerm {
    #[serde(deserialize_with = "null_default")]
    pub match_expressions: Vec<NodeRequirement>,
    #[serde(deserialize_with = "null_default")]
    pub match_fields: Vec<NodeRequirement>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct NodeRequirement {
    pub key: Box<str>,
    pub operator: Box<str>,
    #[serde(deserialize_with = "null_default")]
    pub values: Vec<Box<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct PodAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution", deserialize_with = "null_default")]
    pub required: Vec<PodTerm>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution", deserialize_with = "null_default")]
    pub preferred: Vec<PreferredPodTerm>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PreferredPodTerm {
    pub weight: i64,
    pub pod_affinity_term: PodTerm,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTerm {
    /// Absent matches no pod; empty matches all.
    pub label_selector: Option<LabelSelector>,
    #[serde(deserialize_with = "null_default")]
    pub namespaces: Vec<Box<str>>,
    /// Absent matches no namespace; empty matches all.
    pub namespace_selector: Option<LabelSelector>,
    pub topology_key: Box<str>,
    #[serde(deserialize_with = "null_default")]
    pub match_label_keys: Vec<Box<str>>,
    #[serde(deserialize_with = "null_default")]
    pub mismatch_label_keys: Vec<Box<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpreadConstraint {
    pub max_skew: i64,
    pub topology_key: Box<str>,
    pub when_unsatisfiable: Box<str>,
    pub label_selector: Option<LabelSelector>,
    pub min_domains: Option<i64>,
    /// Whether nodes that the pod's node affinity rules out are left out of the count: `Honor` (default) or `Ignore`.
    pub node_affinity_policy: Option<Box<str>>,
    /// Whether nodes whose taints the pod does not tolerate are: `Honor` or `Ignore` (default).
    pub node_taints_policy: Option<Box<str>>,
    #[serde(deserialize_with = "null_default")]
    pub match_label_keys: Vec<Box<str>>,
}

/// core/v1 Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: ObjectMeta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

impl Projection for Node {
    const GVR: Gvr = Gvr::new("", "v1", "nodes");

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn compact(&mut self) {
        self.metadata.annotations = StrMap::default();
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    pub unschedulable: bool,
    #[serde(deserialize_with = "null_default")]
    pub taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Taint {
    pub key: Box<str>,
    pub value: Box<str>,
    pub effect: Box<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    #[serde(deserialize_with = "null_default")]
    pub allocatable: StrMap,
    #[serde(deserialize_with = "null_default")]
    pub images: Vec<NodeImage>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeImage {
    #[serde(deserialize_with = "null_default")]
    pub names: Vec<Box<str>>,
    pub size_bytes: i64,
}

/// core/v1 Namespace: only its labels matter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    pub metadata: ObjectMeta,
}

impl Projection for Namespace {
    const GVR: Gvr = Gvr::new("", "v1", "namespaces");

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn compact(&mut self) {
        self.metadata.annotations = StrMap::default();
    }
}

/// policy/v1 PodDisruptionBudget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Budget {
    pub metadata: ObjectMeta,
    pub spec: BudgetSpec,
    pub status: BudgetStatus,
}

impl Projection for Budget {
    const GVR: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn compact(&mut self) {
        self.metadata.annotations = StrMap::default();
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BudgetSpec {
    pub selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetStatus {
    pub disruptions_allowed: i32,
    /// Pods whose eviction was granted already, by name.
    #[serde(deserialize_with = "null_default")]
    pub disrupted_pods: BTreeMap<Arc<str>, serde::de::IgnoredAny>,
}

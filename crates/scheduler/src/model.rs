//! What the scheduler reads of a Pod and of a Node, straight from their JSON bytes, through `meta::json`: a null is
//! what is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{LabelSelector, ObjectMeta, Projection, StrMap};
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
    pub node_selector: StrMap,
    pub affinity: Option<Box<Affinity>>,
    pub tolerations: Box<[Toleration]>,
    pub containers: Vec<Container>,
    pub init_containers: Vec<Container>,
    pub overhead: StrMap,
    pub resources: Option<Resources>,
    pub topology_spread_constraints: Box<[SpreadConstraint]>,
    pub scheduling_gates: Box<[Gate]>,
    pub host_network: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Box<str>,
    pub nominated_node_name: Box<str>,
    pub start_time: Option<Timestamp>,
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
    pub ports: Vec<Port>,
    pub restart_policy: Option<Box<str>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resources {
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
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    pub preferred: Vec<PreferredNodeTerm>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
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
    pub match_expressions: Vec<NodeRequirement>,
    pub match_fields: Vec<NodeRequirement>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct NodeRequirement {
    pub key: Box<str>,
    pub operator: Box<str>,
    pub values: Vec<Box<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct PodAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Vec<PodTerm>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
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
    pub namespaces: Vec<Box<str>>,
    /// Absent matches no namespace; empty matches all.
    pub namespace_selector: Option<LabelSelector>,
    pub topology_key: Box<str>,
    pub match_label_keys: Vec<Box<str>>,
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
    pub allocatable: StrMap,
    pub images: Vec<NodeImage>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeImage {
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
    pub disrupted_pods: BTreeMap<Arc<str>, serde::de::IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_is_what_is_not_there() {
        let pod = br#"{"metadata": {"name": "p", "labels": null}, "spec": {
            "nodeName": null, "priority": null, "nodeSelector": null, "tolerations": null, "hostNetwork": null,
            "containers": [{"image": null, "resources": null, "ports": null}], "initContainers": null,
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": null, "matchFields":
                    [{"key": "k", "operator": "Exists", "values": null}]}]}}},
            "topologySpreadConstraints": [{"maxSkew": null, "matchLabelKeys": null}]},
            "status": {"phase": null, "conditions": null}}"#;
        let pod: Pod = meta::json::read(pod).unwrap();
        assert_eq!((pod.spec.containers.len(), pod.spec.priority), (1, None));
        let node = br#"{"spec": {"unschedulable": null, "taints": null},
            "status": {"allocatable": null, "images": [{"names": null, "sizeBytes": null}]}}"#;
        assert_eq!(meta::json::read::<Node>(node).unwrap().status.images.len(), 1);
        let budget =
            br#"{"spec": null, "status": {"disruptionsAllowed": null, "disruptedPods": {"p": null}}}"#;
        assert_eq!(meta::json::read::<Budget>(budget).unwrap().status.disrupted_pods.len(), 1);
    }
}

//! The Node object as far as admission reads it: labels, taints and what else it says it has. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration,
};
use meta::placement;
use serde_json::Value;

use crate::spec::{PodExt, quantity};

/// What the Node says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeView {
    name: String,
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
    /// Allocatable resources beside those that this agent counts itself.
    pub others: BTreeMap<String, i64>,
}

impl NodeView {
    /// Out of the object; `None` when it cannot be read.
    pub fn of(node: &Value) -> Option<Self> {
        let node: Node = serde_json::from_value(node.clone()).ok()?;
        let allocatable = node.status.and_then(|s| s.allocatable).unwrap_or_default();
        let counted = ["cpu", "memory", "ephemeral-storage", "pods"];
        let others = allocatable.iter().filter(|(name, _)| !counted.contains(&name.as_str()));
        Some(NodeView {
            name: node.metadata.name.unwrap_or_default(),
            labels: node.metadata.labels.unwrap_or_default(),
            taints: node.spec.and_then(|s| s.taints).unwrap_or_default(),
            others: others.map(|(k, q)| (k.clone(), quantity::value(q).unwrap_or(0))).collect(),
        })
    }

    /// Whether the pod's node selector and required node affinity let it be here.
    // k8s: staging/src/k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go RequiredNodeAffinity
    pub fn matches(&self, spec: &PodSpec) -> bool {
        let selected = spec.node_selector.iter().flatten().all(|(k, v)| self.labels.get(k) == Some(v));
        let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        selected && required.is_none_or(|r| r.node_selector_terms.iter().any(|t| self.term(t)))
    }

    fn term(&self, t: &NodeSelectorTerm) -> bool {
        let labels = t.match_expressions.as_deref().unwrap_or_default();
        let fields = t.match_fields.as_deref().unwrap_or_default();
        // A term without requirements matches nothing.
        (!labels.is_empty() || !fields.is_empty())
            && labels.iter().all(|r| requirement(r, self.labels.get(&r.key).map(String::as_str)))
            && fields.iter().all(|r| {
                r.key == "metadata.name"
                    && matches!(r.operator.as_str(), "In" | "NotIn")
                    && requirement(r, Some(&self.name))
            })
    }

    /// Whether the Node has a taint that would put the pod out at once.
    pub fn expels(&self, pod: &Pod) -> bool {
        let tolerations = pod.sp().tolerations.as_deref().unwrap_or_default();
        let mut taints = self.taints.iter().filter(|t| t.effect == "NoExecute");
        taints.any(|taint| !tolerations.iter().any(|t| tolerates(t, taint)))
    }
}

fn requirement(r: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    placement::meets(&r.operator, r.values.as_deref().unwrap_or_default(), value)
}

fn tolerates(t: &Toleration, taint: &Taint) -> bool {
    fn text(field: Option<&String>) -> &str {
        field.map_or("", String::as_str)
    }
    let toleration = placement::Toleration {
        key: text(t.key.as_ref()),
        operator: text(t.operator.as_ref()),
        value: text(t.value.as_ref()),
        effect: text(t.effect.as_ref()),
    };
    let taint =
        placement::Taint { key: &taint.key, value: text(taint.value.as_ref()), effect: &taint.effect };
    placement::tolerates(toleration, taint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn node() -> NodeView {
        NodeView::of(&json!({
            "metadata": {"name": "n1", "labels": {"disk": "ssd", "cores": "8"}},
            "spec": {"taints": [{"key": "a", "value": "b", "effect": "NoExecute"},
                {"key": "x", "effect": "NoSchedule"}]},
            "status": {"allocatable": {"cpu": "2", "example.com/gpu": "3"}}}))
        .unwrap()
    }

    #[test]
    fn selectors_and_affinity_are_matched() {
        let affinity = |terms: Value| {
            json!({"containers": [], "affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
        };
        let one = |key: &str, operator: &str, values: Value| {
            affinity(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
        };
        let cases = [
            (json!({"containers": []}), true),
            (json!({"containers": [], "nodeSelector": {"disk": "ssd"}}), true),
            (json!({"containers": [], "nodeSelector": {"disk": "hdd"}}), false),
            (json!({"containers": [], "nodeSelector": {"zone": "a"}}), false),
            (one("disk", "In", json!(["hdd", "ssd"])), true),
            (one("zone", "In", json!(["a"])), false),
            (one("disk", "NotIn", json!(["ssd"])), false),
            (one("zone", "NotIn", json!(["a"])), true),
            (one("disk", "Exists", json!([])), true),
            (one("zone", "DoesNotExist", json!([])), true),
            (one("cores", "Gt", json!(["4"])), true),
            (one("cores", "Lt", json!(["4"])), false),
            (one("disk", "Gt", json!(["4"])), false),
            (affinity(json!([])), false),
            (affinity(json!([{}])), false),
            (
                affinity(json!([{}, {"matchFields": [
                {"key": "metadata.name", "operator": "In", "values": ["n1"]}]}])),
                true,
            ),
            (
                affinity(json!([{"matchFields": [
                {"key": "metadata.name", "operator": "In", "values": ["n2"]}]}])),
                false,
            ),
        ];
        for (spec, want) in cases {
            assert_eq!(node().matches(pod(spec.clone()).sp()), want, "{spec}");
        }
        assert_eq!(node().others, BTreeMap::from([("example.com/gpu".to_owned(), 3)]));
    }

    #[test]
    fn only_untolerated_no_execute_taints_expel() {
        let cases = [
            (json!([]), true),
            (json!([{"operator": "Exists"}]), false),
            (json!([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]), true),
            (json!([{"key": "a", "value": "b", "effect": "NoExecute"}]), false),
            (json!([{"key": "a", "value": "c", "effect": "NoExecute"}]), true),
            (json!([{"key": "b", "operator": "Exists"}]), true),
        ];
        for (tolerations, want) in cases {
            let pod = pod(json!({"containers": [], "tolerations": tolerations}));
            assert_eq!(node().expels(&pod), want, "{tolerations}");
        }
    }
}

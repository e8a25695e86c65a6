//! Required node affinity: on which nodes a pod may be, as far as labels and the name say.
// k8s: staging/src/k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go

use serde::Deserialize;

use super::node::Node;

/// The affinity of a pod; preferences are not read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    pub node_affinity: Option<NodeAffinity>,
}

/// Its part about nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector>,
}

/// Terms of which one must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    pub node_selector_terms: Vec<NodeTerm>,
}

/// Requirements that must all be met; a term without any matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeTerm {
    pub match_expressions: Vec<NodeRequirement>,
    pub match_fields: Vec<NodeRequirement>,
}

/// A requirement on a label or a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeRequirement {
    pub key: Box<str>,
    pub operator: Box<str>,
    pub values: Vec<Box<str>>,
}

impl Affinity {
    fn required(&self) -> Option<&NodeSelector> {
        self.node_affinity.as_ref()?.required.as_ref()
    }

    /// Whether a pod may be on that node.
    #[must_use]
    pub fn allows(&self, node: &Node) -> bool {
        self.required().is_none_or(|s| s.node_selector_terms.iter().any(|t| t.matches(node)))
    }

    /// The one node that the first requirement on the name asks for.
    // k8s: pkg/controller/daemon/util/daemonset_util.go GetTargetNodeName
    #[must_use]
    pub fn named(&self) -> Option<&str> {
        let mut fields = self.required()?.node_selector_terms.iter().flat_map(|t| &t.match_fields);
        let r = fields.find(|r| &*r.key == "metadata.name" && &*r.operator == "In")?;
        match &r.values[..] {
            [name] => Some(name),
            _ => None,
        }
    }
}

impl NodeTerm {
    fn matches(&self, node: &Node) -> bool {
        let m = &node.metadata;
        let some = !self.match_expressions.is_empty() || !self.match_fields.is_empty();
        some && self.match_expressions.iter().all(|r| r.met(m.labels.get(&r.key)))
            && self.match_fields.iter().all(|r| &*r.key == "metadata.name" && r.met(Some(&m.name)))
    }
}

impl NodeRequirement {
    fn met(&self, value: Option<&str>) -> bool {
        meta::placement::meets(&self.operator, &self.values, value)
    }
}

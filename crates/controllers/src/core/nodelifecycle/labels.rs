//! The older names of labels that say what a node is, kept as the newer ones are.
// k8s: pkg/controller/nodelifecycle/node_lifecycle_controller.go reconcileNodeLabels

use serde_json::{Map, Value};

use crate::core::node::Node;

/// The label that says it, and the one that must say the same.
const PAIRS: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// The labels that are missing or differ, as they must be.
pub(crate) fn wrong(n: &Node) -> Map<String, Value> {
    let labels = &n.metadata.labels;
    let wrong = PAIRS.iter().filter_map(|(primary, secondary)| {
        let value = labels.get(primary)?;
        (labels.get(secondary) != Some(value)).then(|| ((*secondary).to_owned(), Value::from(value)))
    });
    wrong.collect()
}

//! The older names of labels that say what a node is, kept as the newer ones are.
// k8s: pkg/controller/nodelifecycle/node_lifecycle_controller.go reconcileNodeLabels

use reconcile::Action;
use serde_json::{Map, Value, json};

use crate::core::node::{NODES, Node};

/// The label that says it, and the one that must say the same.
const PAIRS: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// Plans the labels that are missing or differ.
pub(crate) fn settle(n: &Node) -> Option<Action> {
    let labels = &n.metadata.labels;
    let wrong = PAIRS.iter().filter_map(|(primary, secondary)| {
        let value = labels.get(primary)?;
        (labels.get(secondary) != Some(value)).then(|| ((*secondary).to_owned(), Value::from(value)))
    });
    let wrong: Map<String, Value> = wrong.collect();
    if wrong.is_empty() {
        return None;
    }
    let body = json!({"metadata": {"uid": n.metadata.uid, "labels": wrong}});
    Some(Action::merge_patch(NODES, &n.metadata.key(), "", &body).tolerate(&["NotFound"]))
}

//! CSIStorageCapacity: how much storage a driver can still give.

use meta::Path;
use schema::Value;

use crate::columns::{NAME, text, text_at};
use crate::kind::{Column, Kind};
use crate::shape::{Check, Rule, rule};
use crate::warnings::{self, Write};

/// `storage.k8s.io/v1` CSIStorageCapacity.
pub static KIND: Kind = Kind::namespaced_kind(
    "storage.k8s.io",
    "v1",
    "CSIStorageCapacity",
    "csistoragecapacities",
    "csistoragecapacity",
)
.with_columns(COLUMNS)
.with_warnings(told)
.with_rules(RULES);

// k8s: pkg/apis/storage/validation/validation.go ValidateCSIStorageCapacity
const RULES: &[Rule] = &[rule("storageClassName", Check::Subdomain)];

const COLUMNS: &[Column] = &[
    NAME,
    text("StorageClassName", "The class.", |o, _| text_at(o, &["storageClassName"])),
    text("Capacity", "Free capacity.", |o, _| text_at(o, &["capacity"])),
];

// k8s: pkg/api/node/util.go GetWarningsForNodeSelector
fn told(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let Some(topology) = w.new.get("nodeTopology") else { return out };
    warnings::node_expressions(&mut out, topology, false, &Path::new("nodeTopology"));
    for (label, _) in topology.get("matchLabels").and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
        if let Some(why) = warnings::node_label(label) {
            out.push(format!("nodeTopology.matchLabels.{label}: {why}"));
        }
    }
    out
}

//! CSIStorageCapacity: how much storage a driver can still give.

use crate::columns::{NAME, text, text_at};
use crate::kind::{Column, Kind, NoGeneration};
use crate::shape::{Check, Rule, rule};

/// `storage.k8s.io/v1` CSIStorageCapacity.
pub static KIND: Kind = Kind::namespaced_kind(
    "storage.k8s.io",
    "v1",
    "CSIStorageCapacity",
    "csistoragecapacities",
    "csistoragecapacity",
)
.with_columns(COLUMNS)
.with_strategy(&NoGeneration)
.with_rules(RULES);

// k8s: pkg/apis/storage/validation/validation.go ValidateCSIStorageCapacity
const RULES: &[Rule] = &[rule("storageClassName", Check::Subdomain)];

const COLUMNS: &[Column] = &[
    NAME,
    text("StorageClassName", "The class.", |o, _| text_at(o, &["storageClassName"])),
    text("Capacity", "Free capacity.", |o, _| text_at(o, &["capacity"])),
];

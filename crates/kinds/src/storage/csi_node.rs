//! CSINode: the storage drivers of a node.

use crate::columns::{AGE, NAME, int};
use crate::kind::{Cell, Column, Kind, USER_METADATA, WITH_STATUS};
use crate::shape::{Check, Rule, rule};

/// `storage.k8s.io/v1` CSINode.
pub static KIND: Kind = Kind::cluster_kind("storage.k8s.io", "v1", "CSINode", "csinodes", "csinode")
    .with_columns(COLUMNS)
    .with_subresources(WITH_STATUS)
    .with_status_keeping(USER_METADATA)
    .with_rules(RULES)
    .returning_deleted();

// k8s: pkg/apis/storage/validation/validation.go validateCSINodeDriver
const RULES: &[Rule] =
    &[rule("spec.drivers[].name", Check::Required("")), rule("spec.drivers[].nodeID", Check::Required(""))];

const COLUMNS: &[Column] = &[
    NAME,
    int("Drivers", "Number of drivers.", |o, _| {
        Cell::Int(i64::try_from(o.list_at(&["spec", "drivers"]).len()).unwrap_or(i64::MAX))
    }),
    AGE,
];

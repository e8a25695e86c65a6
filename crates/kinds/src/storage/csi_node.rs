//! CSINode: the storage drivers of a node.

use crate::columns::{AGE, NAME, int};
use crate::kind::{Cell, Column, Kind, NoGeneration};

/// `storage.k8s.io/v1` CSINode.
pub static KIND: Kind = Kind::cluster_kind("storage.k8s.io", "v1", "CSINode", "csinodes", "csinode")
    .with_columns(COLUMNS)
    .with_strategy(&NoGeneration);

const COLUMNS: &[Column] = &[
    NAME,
    int("Drivers", "Number of drivers.", |o, _| {
        Cell::Int(i64::try_from(o.list_at(&["spec", "drivers"]).len()).unwrap_or(i64::MAX))
    }),
    AGE,
];

//! CSIStorageCapacity.

use crate::kind::Kind;

/// `storage.k8s.io/v1` CSIStorageCapacity.
pub static KIND: Kind = Kind::namespaced_kind(
    "storage.k8s.io",
    "v1",
    "CSIStorageCapacity",
    "csistoragecapacities",
    "csistoragecapacity",
);

//! StorageVersionMigration.

use crate::kind::{Kind, WITH_STATUS};

/// `storagemigration.k8s.io/v1` StorageVersionMigration.
pub static KIND: Kind = Kind::cluster_kind(
    "storagemigration.k8s.io",
    "v1",
    "StorageVersionMigration",
    "storageversionmigrations",
    "storageversionmigration",
)
.with_subresources(WITH_STATUS)
.with_status_keeping(crate::kind::USER_METADATA);

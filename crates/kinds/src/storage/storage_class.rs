//! StorageClass.

use crate::kind::Kind;

/// `storage.k8s.io/v1` StorageClass.
pub static KIND: Kind =
    Kind::cluster_kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", "storageclass")
        .with_short_names(&["sc"]);

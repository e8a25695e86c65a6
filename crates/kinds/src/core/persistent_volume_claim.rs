//! PersistentVolumeClaim.

use crate::kind::{Kind, WITH_STATUS};

/// `v1` PersistentVolumeClaim.
pub static KIND: Kind = Kind::namespaced_kind(
    "",
    "v1",
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    "persistentvolumeclaim",
)
.with_short_names(&["pvc"])
.with_subresources(WITH_STATUS);

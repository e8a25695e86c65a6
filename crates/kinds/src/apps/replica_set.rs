//! ReplicaSet.

use crate::kind::{Kind, WITH_SCALE};

/// `apps/v1` ReplicaSet.
pub static KIND: Kind = Kind::namespaced_kind("apps", "v1", "ReplicaSet", "replicasets", "replicaset")
    .with_short_names(&["rs"])
    .with_categories(&["all"])
    .with_subresources(WITH_SCALE);

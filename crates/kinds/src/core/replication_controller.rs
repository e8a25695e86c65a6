//! ReplicationController.

use crate::kind::{Kind, WITH_SCALE};

/// `v1` ReplicationController.
pub static KIND: Kind = Kind::namespaced_kind(
    "",
    "v1",
    "ReplicationController",
    "replicationcontrollers",
    "replicationcontroller",
)
.with_short_names(&["rc"])
.with_categories(&["all"])
.with_subresources(WITH_SCALE);

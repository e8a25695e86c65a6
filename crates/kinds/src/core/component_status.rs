//! ComponentStatus.

use crate::kind::{Kind, Storage};

/// `v1` ComponentStatus.
pub static KIND: Kind =
    Kind::cluster_kind("", "v1", "ComponentStatus", "componentstatuses", "componentstatus")
        .with_short_names(&["cs"])
        .with_verbs(&["get", "list", "watch"])
        .with_storage(Storage::Virtual);

//! ConfigMap.

use crate::kind::Kind;

/// `v1` ConfigMap.
pub static KIND: Kind =
    Kind::namespaced_kind("", "v1", "ConfigMap", "configmaps", "configmap").with_short_names(&["cm"]);

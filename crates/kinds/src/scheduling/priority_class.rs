//! PriorityClass.

use crate::kind::Kind;

/// `scheduling.k8s.io/v1` PriorityClass.
pub static KIND: Kind =
    Kind::cluster_kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "priorityclass")
        .with_short_names(&["pc"]);

//! DaemonSet.

use crate::kind::{Kind, WITH_STATUS};

/// `apps/v1` DaemonSet.
pub static KIND: Kind = Kind::namespaced_kind("apps", "v1", "DaemonSet", "daemonsets", "daemonset")
    .with_short_names(&["ds"])
    .with_categories(&["all"])
    .with_subresources(WITH_STATUS);

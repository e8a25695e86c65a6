//! StatefulSet.

use crate::kind::{Kind, WITH_SCALE};

/// `apps/v1` StatefulSet.
pub static KIND: Kind = Kind::namespaced_kind("apps", "v1", "StatefulSet", "statefulsets", "statefulset")
    .with_short_names(&["sts"])
    .with_categories(&["all"])
    .with_subresources(WITH_SCALE);

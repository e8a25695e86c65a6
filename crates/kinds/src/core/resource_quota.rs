//! ResourceQuota.

use crate::kind::{Kind, WITH_STATUS};

/// `v1` ResourceQuota.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "ResourceQuota", "resourcequotas", "resourcequota")
    .with_short_names(&["quota"])
    .with_subresources(WITH_STATUS);

//! ResourceClaim.

use crate::kind::{Kind, WITH_STATUS};

/// `resource.k8s.io/v1` ResourceClaim.
pub static KIND: Kind =
    Kind::namespaced_kind("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", "resourceclaim")
        .with_subresources(WITH_STATUS);

//! ServiceCIDR.

use crate::kind::{Kind, WITH_STATUS};

/// `networking.k8s.io/v1` ServiceCIDR.
pub static KIND: Kind =
    Kind::cluster_kind("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", "servicecidr")
        .with_subresources(WITH_STATUS);

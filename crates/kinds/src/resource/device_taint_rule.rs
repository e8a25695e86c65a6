//! DeviceTaintRule.

use crate::kind::{Kind, WITH_STATUS};

/// `resource.k8s.io/v1` DeviceTaintRule.
pub static KIND: Kind =
    Kind::cluster_kind("resource.k8s.io", "v1", "DeviceTaintRule", "devicetaintrules", "devicetaintrule")
        .with_subresources(WITH_STATUS)
        .with_generation();

//! DeviceClass.

use crate::kind::Kind;

/// `resource.k8s.io/v1` DeviceClass.
pub static KIND: Kind =
    Kind::cluster_kind("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", "deviceclass");

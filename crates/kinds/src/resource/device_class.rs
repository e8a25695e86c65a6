//! DeviceClass: a sort of devices.

use crate::columns::{AGE, NAME};
use crate::kind::{Column, Kind};

/// `resource.k8s.io/v1` DeviceClass.
pub static KIND: Kind =
    Kind::cluster_kind("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", "deviceclass")
        .with_columns(COLUMNS);

const COLUMNS: &[Column] = &[NAME, AGE];

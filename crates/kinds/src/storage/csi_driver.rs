//! CSIDriver.

use crate::kind::Kind;

/// `storage.k8s.io/v1` CSIDriver.
pub static KIND: Kind = Kind::cluster_kind("storage.k8s.io", "v1", "CSIDriver", "csidrivers", "csidriver");

//! CSINode.

use crate::kind::Kind;

/// `storage.k8s.io/v1` CSINode.
pub static KIND: Kind = Kind::cluster_kind("storage.k8s.io", "v1", "CSINode", "csinodes", "csinode");

//! ResourceSlice.

use crate::kind::Kind;

/// `resource.k8s.io/v1` ResourceSlice.
pub static KIND: Kind =
    Kind::cluster_kind("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", "resourceslice");

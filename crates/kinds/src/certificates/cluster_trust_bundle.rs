//! ClusterTrustBundle.

use crate::kind::{Kind, NameRule};

/// `certificates.k8s.io/v1` ClusterTrustBundle.
pub static KIND: Kind = Kind::cluster_kind(
    "certificates.k8s.io",
    "v1",
    "ClusterTrustBundle",
    "clustertrustbundles",
    "clustertrustbundle",
)
.with_names(NameRule::PathSegment);

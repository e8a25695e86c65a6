//! ClusterRoleBinding.

use crate::kind::{Kind, NameRule};

/// `rbac.authorization.k8s.io/v1` ClusterRoleBinding.
pub static KIND: Kind = Kind::cluster_kind(
    "rbac.authorization.k8s.io",
    "v1",
    "ClusterRoleBinding",
    "clusterrolebindings",
    "clusterrolebinding",
)
.with_names(NameRule::PathSegment);

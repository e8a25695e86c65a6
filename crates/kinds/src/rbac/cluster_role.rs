//! ClusterRole.

use crate::kind::{Kind, NameRule};

/// `rbac.authorization.k8s.io/v1` ClusterRole.
pub static KIND: Kind =
    Kind::cluster_kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "clusterrole")
        .with_names(NameRule::PathSegment);

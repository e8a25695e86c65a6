//! ClusterRole: permissions everywhere, or to be bound in a namespace.

use super::rules::RoleStrategy;
use crate::kind::{Kind, NameRule};

/// `rbac.authorization.k8s.io/v1` ClusterRole.
pub static KIND: Kind =
    Kind::cluster_kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "clusterrole")
        .with_names(NameRule::PathSegment)
        .with_strategy(&RoleStrategy { namespaced: false });

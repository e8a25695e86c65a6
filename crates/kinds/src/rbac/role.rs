//! Role: permissions in one namespace.

use super::rules::RoleStrategy;
use crate::kind::{Kind, NameRule};

/// `rbac.authorization.k8s.io/v1` Role.
pub static KIND: Kind = Kind::namespaced_kind("rbac.authorization.k8s.io", "v1", "Role", "roles", "role")
    .with_names(NameRule::PathSegment)
    .with_strategy(&RoleStrategy { namespaced: true });

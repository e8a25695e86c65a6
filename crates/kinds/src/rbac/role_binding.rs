//! RoleBinding.

use crate::kind::{Kind, NameRule};

/// `rbac.authorization.k8s.io/v1` RoleBinding.
pub static KIND: Kind =
    Kind::namespaced_kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "rolebinding")
        .with_names(NameRule::PathSegment);

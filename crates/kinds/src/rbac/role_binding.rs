//! RoleBinding: who has a role in one namespace.

use super::rules::{BINDING_COLUMNS, BindingStrategy};
use crate::kind::{Kind, NameRule};

/// `rbac.authorization.k8s.io/v1` RoleBinding.
pub static KIND: Kind =
    Kind::namespaced_kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "rolebinding")
        .with_names(NameRule::PathSegment)
        .with_columns(BINDING_COLUMNS)
        .with_strategy(&BindingStrategy { namespaced: true });

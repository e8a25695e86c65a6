//! ClusterRoleBinding: who has a cluster role everywhere.

use super::rules::{BINDING_COLUMNS, BindingStrategy};
use crate::kind::{Kind, NameRule};

/// `rbac.authorization.k8s.io/v1` ClusterRoleBinding.
pub static KIND: Kind = Kind::cluster_kind(
    "rbac.authorization.k8s.io",
    "v1",
    "ClusterRoleBinding",
    "clusterrolebindings",
    "clusterrolebinding",
)
.with_names(NameRule::PathSegment)
.with_columns(BINDING_COLUMNS)
.with_strategy(&BindingStrategy { namespaced: false });

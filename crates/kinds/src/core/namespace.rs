//! Namespace.

use crate::kind::{Kind, NameRule, STATUS, Subresource};

const SUBRESOURCES: &[Subresource] =
    &[Subresource { name: "finalize", kind: None, verbs: &["update"] }, STATUS];

/// `v1` Namespace.
pub static KIND: Kind = Kind::cluster_kind("", "v1", "Namespace", "namespaces", "namespace")
    .with_short_names(&["ns"])
    .with_names(NameRule::Label)
    .with_subresources(SUBRESOURCES)
    .with_verbs(&["create", "delete", "get", "list", "patch", "update", "watch"]);

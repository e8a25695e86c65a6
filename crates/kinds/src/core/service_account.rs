//! ServiceAccount.

use meta::Gvk;

use crate::kind::{Kind, Subresource};

const SUBRESOURCES: &[Subresource] = &[Subresource {
    name: "token",
    kind: Some(Gvk::new("authentication.k8s.io", "v1", "TokenRequest")),
    verbs: &["create"],
}];

/// `v1` ServiceAccount.
pub static KIND: Kind =
    Kind::namespaced_kind("", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount")
        .with_short_names(&["sa"])
        .with_subresources(SUBRESOURCES);

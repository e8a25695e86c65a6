//! ResourceClaimTemplate.

use crate::kind::Kind;

/// `resource.k8s.io/v1` ResourceClaimTemplate.
pub static KIND: Kind = Kind::namespaced_kind(
    "resource.k8s.io",
    "v1",
    "ResourceClaimTemplate",
    "resourceclaimtemplates",
    "resourceclaimtemplate",
);

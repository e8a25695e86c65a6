//! CertificateSigningRequest.

use crate::kind::{Kind, NameRule, STATUS, Subresource};

const SUBRESOURCES: &[Subresource] =
    &[Subresource { name: "approval", kind: None, verbs: &["get", "patch", "update"] }, STATUS];

/// `certificates.k8s.io/v1` CertificateSigningRequest.
pub static KIND: Kind = Kind::cluster_kind(
    "certificates.k8s.io",
    "v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    "certificatesigningrequest",
)
.with_short_names(&["csr"])
.with_names(NameRule::PathSegment)
.with_subresources(SUBRESOURCES);

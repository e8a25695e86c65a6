//! MutatingAdmissionPolicy.

use crate::kind::Kind;

/// `admissionregistration.k8s.io/v1` MutatingAdmissionPolicy.
pub static KIND: Kind = Kind::cluster_kind(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingAdmissionPolicy",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicy",
)
.with_categories(&["api-extensions"]);

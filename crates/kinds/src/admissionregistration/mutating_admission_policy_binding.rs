//! MutatingAdmissionPolicyBinding.

use crate::kind::Kind;

/// `admissionregistration.k8s.io/v1` MutatingAdmissionPolicyBinding.
pub static KIND: Kind = Kind::cluster_kind(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingAdmissionPolicyBinding",
    "mutatingadmissionpolicybindings",
    "mutatingadmissionpolicybinding",
)
.with_categories(&["api-extensions"]);

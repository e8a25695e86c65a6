//! ValidatingAdmissionPolicyBinding.

use crate::kind::Kind;

/// `admissionregistration.k8s.io/v1` ValidatingAdmissionPolicyBinding.
pub static KIND: Kind = Kind::cluster_kind(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    "validatingadmissionpolicybinding",
)
.with_categories(&["api-extensions"]);

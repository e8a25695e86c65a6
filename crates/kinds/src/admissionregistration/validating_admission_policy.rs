//! ValidatingAdmissionPolicy.

use crate::kind::{Kind, WITH_STATUS};

/// `admissionregistration.k8s.io/v1` ValidatingAdmissionPolicy.
pub static KIND: Kind = Kind::cluster_kind(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingAdmissionPolicy",
    "validatingadmissionpolicies",
    "validatingadmissionpolicy",
)
.with_categories(&["api-extensions"])
.with_subresources(WITH_STATUS);

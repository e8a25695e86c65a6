//! MutatingAdmissionPolicyBinding: where a policy is used.

use super::webhooks::param_ref;
use crate::columns::{AGE, NAME, text, text_at};
use crate::kind::{Cell, Column, Kind};

/// `admissionregistration.k8s.io/v1` MutatingAdmissionPolicyBinding.
pub static KIND: Kind = Kind::cluster_kind(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingAdmissionPolicyBinding",
    "mutatingadmissionpolicybindings",
    "mutatingadmissionpolicybinding",
)
.with_categories(&["api-extensions"])
.with_columns(COLUMNS)
.with_generation();

const COLUMNS: &[Column] = &[
    NAME,
    text("PolicyName", "The policy.", |o, _| text_at(o, &["spec", "policyName"])),
    text("ParamRef", "Its parameters.", |o, _| Cell::Text(param_ref(o))),
    AGE,
];

//! MutatingAdmissionPolicy: expressions that may change objects.

use super::webhooks::param_kind;
use crate::columns::{AGE, NAME, int, text};
use crate::kind::{Cell, Column, Kind};

/// `admissionregistration.k8s.io/v1` MutatingAdmissionPolicy.
pub static KIND: Kind = Kind::cluster_kind(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingAdmissionPolicy",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicy",
)
.with_categories(&["api-extensions"])
.with_columns(COLUMNS)
.with_generation();

const COLUMNS: &[Column] = &[
    NAME,
    int("Mutations", "Number of mutations.", |o, _| {
        Cell::Int(i64::try_from(o.list_at(&["spec", "mutations"]).len()).unwrap_or(i64::MAX))
    }),
    text("ParamKind", "Kind of its parameters.", |o, _| Cell::Text(param_kind(o))),
    AGE,
];

//! ValidatingAdmissionPolicy: expressions that may refuse objects.

use super::webhooks::param_kind;
use crate::columns::{AGE, NAME, int, text};
use crate::kind::{Cell, Column, Kind, WITH_STATUS};

/// `admissionregistration.k8s.io/v1` ValidatingAdmissionPolicy.
pub static KIND: Kind = Kind::cluster_kind(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingAdmissionPolicy",
    "validatingadmissionpolicies",
    "validatingadmissionpolicy",
)
.with_categories(&["api-extensions"])
.with_subresources(WITH_STATUS)
.with_columns(COLUMNS)
.with_status_keeping(crate::kind::USER_METADATA)
.with_generation();

const COLUMNS: &[Column] = &[
    NAME,
    int("Validations", "Number of validations.", |o, _| {
        Cell::Int(i64::try_from(o.list_at(&["spec", "validations"]).len()).unwrap_or(i64::MAX))
    }),
    text("ParamKind", "Kind of its parameters.", |o, _| Cell::Text(param_kind(o))),
    AGE,
];

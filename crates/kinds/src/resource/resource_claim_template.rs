//! ResourceClaimTemplate: a template of resource claims.

use crate::columns::{AGE, NAME};
use crate::kind::{Column, Kind};

/// `resource.k8s.io/v1` ResourceClaimTemplate.
pub static KIND: Kind = Kind::namespaced_kind(
    "resource.k8s.io",
    "v1",
    "ResourceClaimTemplate",
    "resourceclaimtemplates",
    "resourceclaimtemplate",
)
.with_columns(COLUMNS)
.returning_deleted();

const COLUMNS: &[Column] = &[NAME, AGE];

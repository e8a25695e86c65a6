//! VolumeAttributesClass: attributes of volumes that can change.

use crate::columns::{AGE, NAME, text, text_at};
use crate::kind::{Column, Kind};
use crate::shape::{Check, Rule, rule};

/// `storage.k8s.io/v1` VolumeAttributesClass.
pub static KIND: Kind = Kind::cluster_kind(
    "storage.k8s.io",
    "v1",
    "VolumeAttributesClass",
    "volumeattributesclasses",
    "volumeattributesclass",
)
.with_short_names(&["vac"])
.with_columns(COLUMNS)
.with_rules(RULES)
.returning_deleted();

// k8s: pkg/apis/storage/validation/validation.go ValidateVolumeAttributesClass
const RULES: &[Rule] = &[rule("driverName", Check::Required(""))];

const COLUMNS: &[Column] =
    &[NAME, text("DriverName", "The driver.", |o, _| text_at(o, &["driverName"])), AGE];

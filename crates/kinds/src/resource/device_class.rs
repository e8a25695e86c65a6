//! DeviceClass: a sort of devices.

use crate::columns::{AGE, NAME};
use crate::kind::{Column, Kind};
use crate::shape::{Check, Rule, rule};

/// `resource.k8s.io/v1` DeviceClass.
pub static KIND: Kind =
    Kind::cluster_kind("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", "deviceclass")
        .with_columns(COLUMNS)
        .with_rules(RULES)
        .with_generation()
        .returning_deleted();

// k8s: pkg/apis/resource/validation/validation.go validateSelector
const RULES: &[Rule] = &[
    rule("spec.selectors[].cel", Check::Required("")),
    rule("spec.selectors[].cel?.expression", Check::Required("")),
];

const COLUMNS: &[Column] = &[NAME, AGE];

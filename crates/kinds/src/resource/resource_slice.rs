//! ResourceSlice: devices that a driver offers.

use schema::Value;

use crate::columns::{AGE, NAME, text, text_at};
use crate::kind::{Cell, Column, Kind};
use crate::selectable::{Selectable, field};
use crate::warnings::Write;

/// `resource.k8s.io/v1` ResourceSlice.
pub static KIND: Kind =
    Kind::cluster_kind("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", "resourceslice")
        .with_columns(COLUMNS)
        .with_warnings(told)
        .with_selectable_fields(FIELDS)
        .with_generation()
        .returning_deleted();

// k8s: pkg/apis/resource/v1/conversion.go
const FIELDS: &[Selectable] = &[field("spec.nodeName"), field("spec.driver"), field("spec.pool.name")];

const COLUMNS: &[Column] = &[
    NAME,
    text("Node", "The node of the devices.", |o, _| Cell::Text(node(o))),
    text("Driver", "The driver.", |o, _| text_at(o, &["spec", "driver"])),
    text("Pool", "The pool.", |o, _| text_at(o, &["spec", "pool", "name"])),
    AGE,
];

fn node(o: &Value) -> String {
    let name = o.str_at(&["spec", "nodeName"]);
    if name.is_empty() { "<unset>" } else { name }.to_owned()
}

// k8s: pkg/registry/resource/resourceslice/strategy.go WarningsOnCreate
fn told(w: &Write<'_>) -> Vec<String> {
    let driver = w.new.str_at(&["spec", "driver"]);
    if driver.to_lowercase() == driver {
        return Vec::new();
    }
    let why = format!("driver names should be lowercase; \"{driver}\" contains uppercase characters");
    vec![format!("spec.driver: {why}")]
}

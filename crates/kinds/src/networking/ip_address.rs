//! IPAddress: an address that is taken, and by what.

use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Kind, NameRule};
use crate::shape::{Check, Rule, rule};

/// `networking.k8s.io/v1` IPAddress.
pub static KIND: Kind =
    Kind::cluster_kind("networking.k8s.io", "v1", "IPAddress", "ipaddresses", "ipaddress")
        .with_short_names(&["ip"])
        .with_names(NameRule::Ip)
        .with_columns(COLUMNS)
        .with_rules(RULES);

// k8s: pkg/apis/networking/validation/validation.go ValidateIPAddress
const RULES: &[Rule] = &[
    rule("spec.parentRef", Check::Required("")),
    rule("spec.parentRef?.resource", Check::Required("")),
    rule("spec.parentRef?.name", Check::Required("")),
];

const COLUMNS: &[Column] =
    &[NAME, text("ParentRef", "The object that has the address.", |o, _| Cell::Text(parent(o))), AGE];

fn parent(o: &Value) -> String {
    let r = |field: &str| o.str_at(&["spec", "parentRef", field]);
    let mut all = vec![r("resource"), r("namespace"), r("name")];
    if !r("group").is_empty() {
        all.insert(0, r("group"));
    }
    all.retain(|p| !p.is_empty());
    all.join("/")
}

//! ServiceCIDR: ranges of addresses of services.

use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Kind, WITH_STATUS};
use crate::shape::{Check, Rule, rule};

/// `networking.k8s.io/v1` ServiceCIDR.
pub static KIND: Kind =
    Kind::cluster_kind("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", "servicecidr")
        .with_subresources(WITH_STATUS)
        .with_columns(COLUMNS)
        .with_rules(RULES);

// k8s: pkg/apis/networking/validation/validation.go ValidateServiceCIDR
const RULES: &[Rule] = &[rule("spec.cidrs", Check::Required("at least one CIDR required"))];

const COLUMNS: &[Column] = &[
    NAME,
    text("CIDRs", "The ranges.", |o, _| {
        Cell::Text(
            o.list_at(&["spec", "cidrs"]).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        )
    }),
    AGE,
];

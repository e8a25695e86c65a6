//! ResourceQuota: how much the objects of a namespace may use together.

use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Kind, NoGeneration, WITH_STATUS};

/// `v1` ResourceQuota.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "ResourceQuota", "resourcequotas", "resourcequota")
    .with_short_names(&["quota"])
    .with_subresources(WITH_STATUS)
    .with_columns(COLUMNS)
    .with_strategy(&NoGeneration);

const COLUMNS: &[Column] = &[
    NAME,
    text("Request", "What may be requested, used and limit.", |o, _| Cell::Text(used(o, false))),
    text("Limit", "Sum of limits, used and limit.", |o, _| Cell::Text(used(o, true))),
    AGE,
];

// k8s: pkg/printers/internalversion/printers.go printResourceQuota
fn used(o: &Value, limits: bool) -> String {
    let hard = o.at(&["status", "hard"]).and_then(Value::as_map);
    let shown = |v: Option<&Value>| match v {
        Some(Value::Str(s)) => s.to_string(),
        Some(Value::Int(n)) => n.to_string(),
        _ => "0".to_owned(),
    };
    let mut all: Vec<String> = hard
        .into_iter()
        .flat_map(|m| m.iter())
        .filter(|(k, _)| k.starts_with("limits.") == limits)
        .map(|(k, v)| format!("{k}: {}/{}", shown(o.at(&["status", "used", k])), shown(Some(v))))
        .collect();
    all.sort();
    all.join(", ")
}

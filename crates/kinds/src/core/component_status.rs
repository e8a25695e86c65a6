//! ComponentStatus: the health of control plane components; computed, not stored.

use schema::Value;

use crate::columns::{NAME, text};
use crate::kind::{Cell, Column, Kind, Storage};

/// `v1` ComponentStatus.
pub static KIND: Kind =
    Kind::cluster_kind("", "v1", "ComponentStatus", "componentstatuses", "componentstatus")
        .with_short_names(&["cs"])
        .with_deprecation("v1 ComponentStatus is deprecated in v1.19+")
        .with_verbs(&["get", "list"])
        .with_storage(Storage::Virtual)
        .with_columns(COLUMNS);

const COLUMNS: &[Column] = &[
    NAME,
    text("Status", "Whether the component is healthy.", |o, _| Cell::Text(status(o))),
    text("Message", "What it says.", |o, _| {
        Cell::Text(healthy(o).map_or("", |c| c.str_at(&["message"])).to_owned())
    }),
    text("Error", "What is wrong.", |o, _| {
        Cell::Text(healthy(o).map_or("", |c| c.str_at(&["error"])).to_owned())
    }),
];

fn healthy(o: &Value) -> Option<&Value> {
    o.list_at(&["conditions"]).iter().find(|c| c.str_at(&["type"]) == "Healthy")
}

fn status(o: &Value) -> String {
    match healthy(o).map_or("", |c| c.str_at(&["status"])) {
        "True" => "Healthy",
        "False" => "Unhealthy",
        _ => "Unknown",
    }
    .to_owned()
}

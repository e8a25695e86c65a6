//! APIService: a group and version of the API, and who serves it.

use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Kind, NameRule, NoGeneration, WITH_STATUS};

/// `apiregistration.k8s.io/v1` APIService.
pub static KIND: Kind =
    Kind::cluster_kind("apiregistration.k8s.io", "v1", "APIService", "apiservices", "apiservice")
        .with_categories(&["api-extensions"])
        .with_names(NameRule::PathSegment)
        .with_subresources(WITH_STATUS)
        .with_columns(COLUMNS)
        .with_strategy(&NoGeneration);

const COLUMNS: &[Column] = &[
    NAME,
    text("Service", "The service that serves it.", |o, _| Cell::Text(service(o))),
    text("Available", "Whether it answers.", |o, _| Cell::Text(available(o))),
    AGE,
];

fn service(o: &Value) -> String {
    match o.at(&["spec", "service"]) {
        Some(s) => format!("{}/{}", s.str_at(&["namespace"]), s.str_at(&["name"])),
        None => "Local".to_owned(),
    }
}

fn available(o: &Value) -> String {
    let conditions = o.list_at(&["status", "conditions"]);
    match conditions.iter().find(|c| c.str_at(&["type"]) == "Available") {
        Some(c) if c.str_at(&["status"]) == "True" => "True".to_owned(),
        Some(c) => format!("{} ({})", c.str_at(&["status"]), c.str_at(&["reason"])),
        None => "Unknown".to_owned(),
    }
}

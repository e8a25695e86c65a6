//! FlowSchema: which requests belong to which priority level.

use schema::Value;

use crate::columns::{AGE, NAME, int, int_or_zero, text, text_at, text_or};
use crate::kind::{Cell, Column, Kind, WITH_STATUS};
use crate::shape::{Check, Rule, rule};

/// `flowcontrol.apiserver.k8s.io/v1` FlowSchema.
pub static KIND: Kind =
    Kind::cluster_kind("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", "flowschema")
        .with_subresources(WITH_STATUS)
        .with_columns(COLUMNS)
        .with_rules(RULES)
        .with_status_keeping(crate::kind::USER_METADATA)
        .with_generation();

// k8s: pkg/apis/flowcontrol/validation/validation.go ValidateFlowSchemaSpec
const RULES: &[Rule] = &[
    rule("spec.distinguisherMethod?.type", Check::Word(&["ByNamespace", "ByUser"])),
    rule("spec.priorityLevelConfiguration.name", Check::Required("must reference a priority level")),
];

const COLUMNS: &[Column] = &[
    NAME,
    text("PriorityLevel", "The priority level of its requests.", |o, _| {
        text_at(o, &["spec", "priorityLevelConfiguration", "name"])
    }),
    int("MatchingPrecedence", "Its place among the schemas.", |o, _| {
        int_or_zero(o, &["spec", "matchingPrecedence"])
    }),
    text("DistinguisherMethod", "What makes a flow.", |o, _| {
        text_or(o, &["spec", "distinguisherMethod", "type"], "<none>")
    }),
    AGE,
    text("MissingPL", "Whether its priority level is missing.", |o, _| Cell::Text(dangling(o))),
];

fn dangling(o: &Value) -> String {
    let conditions = o.list_at(&["status", "conditions"]);
    let found = conditions.iter().find(|c| c.str_at(&["type"]) == "Dangling");
    found.map_or("?", |c| c.str_at(&["status"])).to_owned()
}

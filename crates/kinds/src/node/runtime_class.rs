//! RuntimeClass: a runtime that pods can ask for.

use schema::Value;

use crate::columns::{AGE, NAME, text, text_at};
use crate::kind::{Column, Kind};
use crate::shape::{Check, Rule, rule};
use crate::warnings::{self, Write};

/// `node.k8s.io/v1` RuntimeClass.
pub static KIND: Kind =
    Kind::cluster_kind("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "runtimeclass")
        .with_columns(COLUMNS)
        .with_warnings(told)
        .with_rules(RULES);

// k8s: pkg/apis/node/validation/validation.go ValidateRuntimeClass
const RULES: &[Rule] = &[rule("handler", Check::Label)];

const COLUMNS: &[Column] =
    &[NAME, text("Handler", "The handler of the runtime.", |o, _| text_at(o, &["handler"])), AGE];

// k8s: pkg/api/node/util.go GetWarningsForRuntimeClass
fn told(w: &Write<'_>) -> Vec<String> {
    let labels = w.new.at(&["scheduling", "nodeSelector"]).and_then(Value::as_map);
    let known = labels.into_iter().flat_map(|m| m.iter()).filter_map(|(key, _)| warnings::node_label(key));
    known.map(|why| format!("scheduling.nodeSelector: {why}")).collect()
}

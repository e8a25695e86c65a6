//! RuntimeClass: a runtime that pods can ask for.

use crate::columns::{AGE, NAME, text, text_at};
use crate::kind::{Column, Kind, NoGeneration};
use crate::shape::{Check, Rule, rule};

/// `node.k8s.io/v1` RuntimeClass.
pub static KIND: Kind =
    Kind::cluster_kind("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "runtimeclass")
        .with_columns(COLUMNS)
        .with_strategy(&NoGeneration)
        .with_rules(RULES);

// k8s: pkg/apis/node/validation/validation.go ValidateRuntimeClass
const RULES: &[Rule] = &[rule("handler", Check::Label)];

const COLUMNS: &[Column] =
    &[NAME, text("Handler", "The handler of the runtime.", |o, _| text_at(o, &["handler"])), AGE];

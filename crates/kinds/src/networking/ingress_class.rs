//! IngressClass: a controller of ingresses.

use schema::Value;

use crate::columns::{AGE, NAME, text, text_at};
use crate::kind::{Cell, Column, Kind};
use crate::shape::{Check, Rule, rule};

/// `networking.k8s.io/v1` IngressClass.
pub static KIND: Kind =
    Kind::cluster_kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "ingressclass")
        .with_columns(COLUMNS)
        .with_rules(RULES)
        .with_generation();

// k8s: pkg/apis/networking/validation/validation.go validateIngressClassSpec
const RULES: &[Rule] = &[rule("spec.controller", Check::DomainPath)];

const COLUMNS: &[Column] = &[
    NAME,
    text("Controller", "The controller.", |o, _| text_at(o, &["spec", "controller"])),
    text("Parameters", "Parameters of the controller.", |o, _| Cell::Text(parameters(o))),
    AGE,
];

fn parameters(o: &Value) -> String {
    let Some(p) = o.at(&["spec", "parameters"]) else { return "<none>".to_owned() };
    let group = p.str_at(&["apiGroup"]);
    let dot = if group.is_empty() { "" } else { "." };
    format!("{}{dot}{group}/{}", p.str_at(&["kind"]), p.str_at(&["name"]))
}

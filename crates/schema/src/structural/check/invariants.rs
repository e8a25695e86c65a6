//! A structural schema says of each value what it is, outside of `allOf`, `anyOf`, `oneOf` and `not`.
// k8s: apiextensions-apiserver pkg/apiserver/schema/validation.go ValidateStructural

use meta::field::quoted;
use meta::{FieldError, Path};

use crate::structural::findings::Findings;
use crate::structural::node::{Additional, Checks, Node, NodeType, is_integer_or_string};
use crate::structural::trail::Trail;

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

pub fn check(node: &Node, at: &Trail<'_>, out: &mut Findings) {
    invariants(node, Level::Root, at, out);
}

fn required(at: &Trail<'_>, field: &str, why: &str, out: &mut Findings) {
    out.push(FieldError::required(&at.child(field).path(), why));
}

fn forbidden(at: &Trail<'_>, field: &str, why: &str, out: &mut Findings) {
    out.push(FieldError::forbidden(&at.child(field).path(), why));
}

fn invariants(node: &Node, level: Level, at: &Trail<'_>, out: &mut Findings) {
    if node.ty == NodeType::Array && node.items.is_none() {
        required(at, "items", "must be specified", out);
    }
    if let Some(items) = &node.items {
        invariants(items, Level::Item, &at.child("items"), out);
    }
    for (name, property) in &node.properties {
        invariants(property, Level::Field, &at.child("properties").key(name), out);
    }
    if node.additional.is_set() {
        if level == Level::Root {
            forbidden(at, "additionalProperties", "must not be used at the root", out);
        }
        if let Some(schema) = node.additional.schema() {
            invariants(schema, Level::Field, &at.child("additionalProperties"), out);
        }
    }
    extensions(node, at, out);
    let checks = node.checks();
    let skip_any_of = is_integer_or_string(&checks.any_of);
    let skip_first = checks.all_of.first().is_some_and(|first| is_integer_or_string(&first.checks().any_of));
    value_checks(checks, skip_any_of, skip_first, at, out);
    types(node, level, at, out);
    let here = level == Level::Root || node.embedded;
    meta_types(node, level, here, at, out);
    if node.embedded && !node.preserve_unknown_fields && node.properties.is_empty() {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        required(at, "properties", why, out);
    }
}

fn types(node: &Node, level: Level, at: &Trail<'_>, out: &mut Findings) {
    let bad_type = |why: &str, out: &mut Findings| {
        out.push(FieldError::invalid(&at.child("type").path(), quoted(node.ty.as_str()), why));
    };
    if node.embedded && node.ty != NodeType::Object {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        if node.ty.is_set() { bad_type(why, out) } else { required(at, "type", why, out) }
    } else if !node.ty.is_set() && !node.int_or_string && !node.preserve_unknown_fields {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        required(at, "type", why, out);
    }
    if node.embedded && node.additional.is_set() {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        forbidden(at, "additionalProperties", why, out);
    }
    if level == Level::Root && node.ty.is_set() && node.ty != NodeType::Object {
        bad_type("must be object at the root", out);
    }
}

/// What a schema may say of kind, apiVersion and metadata, which are implied.
fn meta_types(node: &Node, level: Level, here: bool, at: &Trail<'_>, out: &mut Findings) {
    let path = |name: &str| -> Path { at.child("properties").key(name).path() };
    let invalid = |name: &str, ty: &NodeType, why: &str| {
        FieldError::invalid(&path(name).child("type"), quoted(ty.as_str()), why)
    };
    for name in ["kind", "apiVersion"] {
        if let Some(p) = node.property(name).filter(|p| here && p.ty != NodeType::String) {
            out.push(invalid(name, &p.ty, "must be string"));
        }
    }
    let Some(metadata) = node.property("metadata") else { return };
    if here && metadata.ty != NodeType::Object {
        out.push(invalid("metadata", &metadata.ty, "must be object"));
    }
    if level != Level::Root {
        return;
    }
    let names_only = (1..=2).contains(&metadata.properties.len())
        && metadata.properties.iter().all(|(n, _)| matches!(&**n, "name" | "generateName"));
    let mut rest = metadata.clone();
    if names_only {
        rest.properties.clear();
    }
    (rest.ty, rest.default) = (NodeType::Unset, None);
    if rest != Node::default() {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        out.push(FieldError::forbidden(&path("metadata"), why));
    }
}

fn extensions(node: &Node, at: &Trail<'_>, out: &mut Findings) {
    if !node.int_or_string {
        return;
    }
    let clashes = [
        (node.preserve_unknown_fields, "x-kubernetes-preserve-unknown-fields"),
        (node.embedded, "x-kubernetes-embedded-resource"),
    ];
    for (_, name) in clashes.into_iter().filter(|(set, _)| *set) {
        let why = "must be false if x-kubernetes-int-or-string is true";
        out.push(FieldError::invalid(&at.child(name).path(), "true", why));
    }
}

fn value_checks(checks: &Checks, skip_any_of: bool, skip_first: bool, at: &Trail<'_>, out: &mut Findings) {
    if !skip_any_of {
        for (i, n) in checks.any_of.iter().enumerate() {
            nested(n, false, &at.child("anyOf").index(i), out);
        }
    }
    for (i, n) in checks.all_of.iter().enumerate() {
        nested(n, skip_first && i == 0, &at.child("allOf").index(i), out);
    }
    for (i, n) in checks.one_of.iter().enumerate() {
        nested(n, false, &at.child("oneOf").index(i), out);
    }
    if let Some(n) = &checks.not {
        nested(n, false, &at.child("not"), out);
    }
    if let Some(pattern) = &checks.pattern
        && let Some(error) = pattern.error()
    {
        let why = format!("must be a valid regular expression, but isn't: {error}");
        out.push(FieldError::invalid(&at.child("pattern").path(), quoted(pattern.as_str()), why));
    }
}

/// A schema below a junctor says nothing of structure, and has no rules.
fn nested(node: &Node, skip_any_of: bool, at: &Trail<'_>, out: &mut Findings) {
    value_checks(node.checks(), skip_any_of, false, at, out);
    if let Some(items) = &node.items {
        nested(items, false, &at.child("items"), out);
    }
    for (name, property) in &node.properties {
        nested(property, false, &at.child("properties").key(name), out);
    }
    let words = node.words.as_deref();
    let said = |text: fn(&crate::structural::node::Words) -> &str| words.is_some_and(|w| !text(w).is_empty());
    let additional = !matches!(node.additional, Additional::Unset | Additional::Bool(false));
    let table: [(bool, &str, &str); 13] = [
        (node.ty.is_set(), "type", "must be empty to be structural"),
        (additional, "additionalProperties", "must be undefined to be structural"),
        (node.default.is_some(), "default", "must be undefined to be structural"),
        (said(|w| &w.title), "title", "must be empty to be structural"),
        (said(|w| &w.description), "description", "must be empty to be structural"),
        (node.nullable, "nullable", "must be false to be structural"),
        (
            node.preserve_unknown_fields,
            "x-kubernetes-preserve-unknown-fields",
            "must be false to be structural",
        ),
        (node.embedded, "x-kubernetes-embedded-resource", "must be false to be structural"),
        (node.int_or_string, "x-kubernetes-int-or-string", "must be false to be structural"),
        (!node.list_map_keys.is_empty(), "x-kubernetes-list-map-keys", "must be empty to be structural"),
        (node.list_kind.is_some(), "x-kubernetes-list-type", "must be undefined to be structural"),
        (node.map_kind.is_some(), "x-kubernetes-map-type", "must be undefined to be structural"),
        (!node.rules.is_empty(), "x-kubernetes-validations", "must be empty to be structural"),
    ];
    for (_, field, why) in table.into_iter().filter(|(set, ..)| *set) {
        forbidden(at, field, why, out);
    }
    if node.property("metadata").is_some() {
        let path = at.child("properties").key("metadata").path();
        out.push(FieldError::forbidden(&path, "must not be specified in a nested context"));
    }
}

//! From what a CustomResourceDefinition says (`JSONSchemaProps`) to nodes. What nodes have no place for is left out
//! here, and `check` complains of it.
// k8s: apiextensions-apiserver pkg/apiserver/schema/convert.go NewStructural

use super::node::{Additional, Checks, ListKind, Node, NodeType, Words};
use super::pattern::Patterns;
use crate::{Map, Value};

/// How deep schemas may stand in schemas.
pub const MAX_DEPTH: usize = 128;

/// Whether schemas stand deeper in each other than is allowed. Every map below counts: no schema is deeper than the
/// maps that it is written with.
pub fn is_too_deep(raw: &Value) -> bool {
    fn deeper(v: &Value, left: usize) -> bool {
        let Some(left) = left.checked_sub(1) else { return true };
        match v {
            Value::Map(m) => m.iter().any(|(_, v)| deeper(v, left)),
            Value::List(l) => l.iter().any(|v| deeper(v, left)),
            _ => false,
        }
    }
    // Two levels of JSON a schema (`properties`, the name), and what stands in the last.
    deeper(raw, 2 * MAX_DEPTH + 2)
}

/// Reads a schema that [`is_too_deep`] let pass.
pub fn node(raw: &Value, patterns: &mut Patterns) -> Node {
    let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or("");
    let flag = |key: &str| raw.get(key).and_then(Value::as_bool) == Some(true);
    Node {
        ty: NodeType::read(text("type")),
        nullable: flag("nullable"),
        preserve_unknown_fields: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        int_or_string: flag("x-kubernetes-int-or-string"),
        properties: properties(raw, patterns),
        additional: match raw.get("additionalProperties") {
            None => Additional::Unset,
            Some(Value::Bool(allowed)) => Additional::Bool(*allowed),
            Some(schema) => Additional::Schema(Box::new(node(schema, patterns))),
        },
        items: raw.get("items").filter(|i| i.as_map().is_some()).map(|i| Box::new(node(i, patterns))),
        default: raw.get("default").cloned().map(Box::new),
        list_kind: raw.get("x-kubernetes-list-type").and_then(Value::as_str).map(|kind| match kind {
            "atomic" => ListKind::Atomic,
            "set" => ListKind::Set,
            "map" => ListKind::Map,
            other => ListKind::Other(other.into()),
        }),
        list_map_keys: strings(raw, "x-kubernetes-list-map-keys"),
        map_kind: raw.get("x-kubernetes-map-type").and_then(Value::as_str).map(Into::into),
        checks: checks(raw, patterns).map(Box::new),
        words: words(raw).map(Box::new),
        rules: list(raw, "x-kubernetes-validations").to_vec(),
    }
}

fn properties(raw: &Value, patterns: &mut Patterns) -> Vec<(Box<str>, Node)> {
    let entries = raw.get("properties").and_then(Value::as_map).into_iter().flat_map(Map::iter);
    let mut out: Vec<(Box<str>, Node)> = entries.map(|(k, v)| (k.into(), node(v, patterns))).collect();
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out.dedup_by(|a, b| a.0 == b.0);
    out
}

fn checks(raw: &Value, patterns: &mut Patterns) -> Option<Checks> {
    let int = |key: &str| raw.get(key).and_then(Value::as_int);
    let flag = |key: &str| raw.get(key).and_then(Value::as_bool) == Some(true);
    let mut nodes = |key: &str| -> Vec<Node> { list(raw, key).iter().map(|s| node(s, patterns)).collect() };
    let (all_of, one_of, any_of) = (nodes("allOf"), nodes("oneOf"), nodes("anyOf"));
    let checks = Checks {
        format: raw.get("format").and_then(Value::as_str).unwrap_or("").into(),
        maximum: raw.get("maximum").and_then(number),
        exclusive_maximum: flag("exclusiveMaximum"),
        minimum: raw.get("minimum").and_then(number),
        exclusive_minimum: flag("exclusiveMinimum"),
        max_length: int("maxLength"),
        min_length: int("minLength"),
        not: raw.get("not").map(|n| Box::new(node(n, patterns))),
        pattern: raw
            .get("pattern")
            .and_then(Value::as_str)
            .filter(|p| !p.is_empty())
            .map(|p| patterns.compile(p)),
        max_items: int("maxItems"),
        min_items: int("minItems"),
        unique_items: flag("uniqueItems"),
        multiple_of: raw.get("multipleOf").and_then(number),
        enum_values: list(raw, "enum").to_vec(),
        max_properties: int("maxProperties"),
        min_properties: int("minProperties"),
        required: strings(raw, "required"),
        all_of,
        one_of,
        any_of,
    };
    (checks != Checks::default()).then_some(checks)
}

fn words(raw: &Value) -> Option<Words> {
    let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or("").into();
    let words = Words {
        title: text("title"),
        description: text("description"),
        external_docs: raw.get("externalDocs").cloned(),
        example: raw.get("example").cloned(),
    };
    (words != Words::default()).then_some(words)
}

pub fn list<'v>(raw: &'v Value, key: &str) -> &'v [Value] {
    raw.get(key).and_then(Value::as_list).unwrap_or(&[])
}

fn strings(raw: &Value, key: &str) -> Vec<Box<str>> {
    list(raw, key).iter().filter_map(Value::as_str).map(Into::into).collect()
}

fn number(v: &Value) -> Option<f64> {
    match v {
        Value::Int(i) => Some(*i as f64),
        Value::Float(f) => Some(*f),
        _ => None,
    }
}

//! What OpenAPI allows and CustomResourceDefinitions do not, and what the extensions ask of each other.
// k8s: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go
// ValidateCustomResourceDefinitionOpenAPISchema, specStandardValidatorV3

use meta::FieldError;
use meta::field::quoted;

use crate::Value;
use crate::metadata::printed;
use crate::structural::findings::Findings;
use crate::structural::node::Node;
use crate::structural::read;
use crate::structural::trail::Trail;

use super::{lists, rules};

/// Types, sorted.
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Fields that no schema may have, as upstream orders them.
const UNSUPPORTED: [&str; 7] =
    ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref", "$schema"];

/// What holds for a schema because of where it stands.
#[derive(Clone, Copy, Default)]
struct Context<'a> {
    is_root: bool,
    /// Why there may be no defaults.
    no_defaults: Option<NoDefaults<'a>>,
    inside_meta: bool,
}

#[derive(Clone, Copy)]
enum NoDefaults<'a> {
    /// In kind, apiVersion or metadata of the whole.
    TopLevel(&'a str),
    MetadataEntries,
}

/// Complains of a schema and of all below it; `node` is what was read of it.
pub fn check(raw: &Value, node: &Node, at: &Trail<'_>, out: &mut Findings) {
    let root = Context { is_root: true, ..Context::default() };
    schema(raw, Some(node), root, at, out);
}

/// Whether something in a schema has no place in a node, so that nothing can be said of its structure.
pub fn has_unreadable(raw: &Value) -> bool {
    let set = |field: &str| match raw.get(field) {
        None => false,
        Some(Value::Str(s)) => !s.is_empty(),
        Some(Value::Map(m)) => !m.is_empty() || field == "additionalItems",
        Some(_) => true,
    };
    if UNSUPPORTED.iter().any(|f| set(f))
        || raw.get("items").is_some_and(|i| i.as_list().is_some_and(|l| !l.is_empty()))
        || raw.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(false)
    {
        return true;
    }
    let single = ["items", "additionalProperties", "not"];
    let lists = ["allOf", "anyOf", "oneOf"];
    let properties = raw.get("properties").and_then(Value::as_map);
    single.iter().filter_map(|f| raw.get(f)).any(has_unreadable)
        || lists.iter().any(|f| read::list(raw, f).iter().any(has_unreadable))
        || properties.is_some_and(|p| p.iter().any(|(_, v)| has_unreadable(v)))
}

fn schema(raw: &Value, node: Option<&Node>, cx: Context<'_>, at: &Trail<'_>, out: &mut Findings) {
    standard(raw, cx, at, out);
    if raw.get("uniqueItems").and_then(Value::as_bool) == Some(true) {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        out.push(FieldError::forbidden(&at.child("uniqueItems").path(), why));
    }
    let below = Context { is_root: false, ..cx };
    entries(raw, node, cx, at, out);
    if let Some(not) = raw.get("not") {
        let node = node.and_then(|n| n.checks().not.as_deref());
        schema(not, node, below, &at.child("not"), out);
    }
    for field in ["allOf", "oneOf", "anyOf"] {
        let checks = node.map(Node::checks);
        let nodes = checks.map(|c| match field {
            "allOf" => &c.all_of,
            "oneOf" => &c.one_of,
            _ => &c.any_of,
        });
        for (i, s) in read::list(raw, field).iter().enumerate() {
            schema(s, nodes.and_then(|n| n.get(i)), below, &at.child(field).index(i), out);
        }
    }
    for field in ["definitions", "dependencies"] {
        let named = raw.get(field).and_then(Value::as_map).into_iter().flat_map(|m| m.iter());
        for (name, s) in named.filter(|(_, s)| s.as_map().is_some()) {
            schema(s, None, below, &at.child(field).key(name), out);
        }
    }
    match raw.get("items") {
        Some(Value::List(l)) => {
            for (i, s) in l.iter().enumerate() {
                schema(s, None, below, &at.child("items").index(i), out);
            }
        }
        Some(s) => schema(s, node.and_then(|n| n.items.as_deref()), below, &at.child("items"), out),
        None => {}
    }
    extensions(raw, at, out);
    lists::check(raw, at, out);
    rules::check(raw, node, at, out);
}

/// Properties and additional ones, which exclude each other.
fn entries(raw: &Value, node: Option<&Node>, cx: Context<'_>, at: &Trail<'_>, out: &mut Findings) {
    let below = Context { is_root: false, ..cx };
    let properties = raw.get("properties").and_then(Value::as_map).filter(|m| !m.is_empty());
    if let Some(additional) = raw.get("additionalProperties") {
        let at = at.child("additionalProperties");
        if properties.is_some() && *additional != Value::Bool(true) {
            let why = "additionalProperties and properties are mutual exclusive";
            out.push(FieldError::forbidden(&at.path(), why));
        }
        let no_defaults = if cx.inside_meta { Some(NoDefaults::MetadataEntries) } else { cx.no_defaults };
        if additional.as_map().is_some() {
            let node = node.and_then(|n| n.additional.schema());
            schema(additional, node, Context { no_defaults, ..below }, &at, out);
        }
    }
    let embedded = raw.get("x-kubernetes-embedded-resource").and_then(Value::as_bool) == Some(true);
    for (name, s) in properties.into_iter().flat_map(|m| m.iter()) {
        let mut below = below;
        if (cx.is_root || embedded) && matches!(name, "metadata" | "kind" | "apiVersion") {
            below.inside_meta = true;
            if cx.is_root {
                below.no_defaults = Some(NoDefaults::TopLevel(name));
            }
        }
        let node = node.and_then(|n| n.property(name));
        schema(s, node, below, &at.child("properties").key(name), out);
    }
}

/// What holds for every schema by itself.
fn standard(raw: &Value, cx: Context<'_>, at: &Trail<'_>, out: &mut Findings) {
    let ty = raw.str_at(&["type"]);
    let forbid = |field: &str, why: &str, out: &mut Findings| {
        out.push(FieldError::forbidden(&at.child(field).path(), why));
    };
    if !ty.is_empty() && !TYPES.contains(&ty) {
        out.push(FieldError::not_supported(&at.child("type").path(), ty, &TYPES));
    }
    if raw.get("default").is_some()
        && let Some(reason) = cx.no_defaults
    {
        let why = match reason {
            NoDefaults::TopLevel(field) => format!("must not be set in top-level {field}"),
            NoDefaults::MetadataEntries => {
                "must not be set inside additionalProperties applying to object metadata".to_owned()
            }
        };
        forbid("default", &why, out);
    }
    for field in UNSUPPORTED {
        let there = match raw.get(field) {
            None => false,
            Some(Value::Str(s)) => field == "$ref" || !s.is_empty(),
            Some(Value::Map(m)) => !m.is_empty() || matches!(field, "additionalItems" | "dependencies"),
            Some(_) => true,
        };
        if there {
            forbid(field, &format!("{field} is not supported"), out);
        }
    }
    if ty == "null" {
        forbid("type", "type cannot be set to null, use nullable as an alternative", out);
    }
    if raw.get("items").and_then(Value::as_list).is_some_and(|l| !l.is_empty()) {
        forbid("items", "items must be a schema object and not an array", out);
    }
    let embedded = raw.get("x-kubernetes-embedded-resource").and_then(Value::as_bool) == Some(true);
    if cx.inside_meta && embedded {
        forbid("x-kubernetes-embedded-resource", "must not be used inside of resource meta", out);
    }
}

fn extensions(raw: &Value, at: &Trail<'_>, out: &mut Findings) {
    let ty = raw.str_at(&["type"]);
    let preserve = raw.get("x-kubernetes-preserve-unknown-fields");
    if preserve.and_then(Value::as_bool) == Some(false) {
        let path = at.child("x-kubernetes-preserve-unknown-fields").path();
        out.push(FieldError::invalid(&path, printed(preserve), "must be true or undefined"));
    }
    let Some(kind) = raw.get("x-kubernetes-map-type").and_then(Value::as_str) else { return };
    if ty != "object" {
        let why = "must be object if x-kubernetes-map-type is specified";
        let path = at.child("type").path();
        out.push(if ty.is_empty() {
            FieldError::required(&path, why)
        } else {
            FieldError::invalid(&path, quoted(ty), why)
        });
    }
    if !matches!(kind, "atomic" | "granular") {
        let path = at.child("x-kubernetes-map-type").path();
        out.push(FieldError::not_supported(&path, kind, &["atomic", "granular"]));
    }
}

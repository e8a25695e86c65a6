//! Kind and metadata of objects that are embedded in others (`x-kubernetes-embedded-resource`).
// k8s: apiextensions-apiserver pkg/apiserver/schema/objectmeta/{algorithm,coerce,validation}.go

use meta::field::quoted;
use meta::{FieldError, name};

use super::findings::Findings;
use super::node::Node;
use super::prune::Dropped;
use super::trail::Trail;
use crate::json::{DecodeError, Decoded, FieldValidation, decode_json, encode_plain};
use crate::metadata::{annotations, finalizers, labels, owner_references, printed};
use crate::{Map, Value};

/// Metadata as its type has it, with what is unknown in it as warnings.
fn read(metadata: &Value) -> Result<Decoded, DecodeError> {
    let ty = crate::type_named("meta.k8s.io/v1", "ObjectMeta").expect("the table has ObjectMeta");
    decode_json(&encode_plain(metadata), ty, FieldValidation::Warn)
}

/// Brings metadata of embedded objects to the form that its type has, without what is unknown. Malformed metadata
/// stays as it is, for [`validate`] to complain of.
pub fn coerce(value: &mut Value, node: &Node, embedded: bool, at: &Trail<'_>, dropped: &mut Dropped) {
    match value {
        Value::Map(map) => {
            if embedded && let Some(metadata) = map.get_mut("metadata") {
                coerce_metadata(metadata, at, dropped);
            }
            for (name, v) in map.iter_mut() {
                if let Some(property) = node.property(name) {
                    coerce(v, property, property.embedded, &at.child(name), dropped);
                } else if let Some(schema) = node.additional.schema() {
                    coerce(v, schema, schema.embedded, &at.key(name), dropped);
                }
            }
        }
        Value::List(list) => {
            let Some(items) = node.items.as_deref() else { return };
            for (i, v) in list.iter_mut().enumerate() {
                coerce(v, items, items.embedded, &at.index(i), dropped);
            }
        }
        _ => {}
    }
}

fn coerce_metadata(metadata: &mut Value, at: &Trail<'_>, dropped: &mut Dropped) {
    let Ok(decoded) = read(metadata) else { return };
    for warning in &decoded.warnings {
        if let Some(field) = warning.strip_prefix("unknown field \"").and_then(|f| f.strip_suffix('"')) {
            dropped.add_path(format!("{}.{field}", at.child("metadata").path()));
        }
    }
    *metadata = decoded.value;
}

/// Complains of kind and metadata of embedded objects, and of the object itself when `embedded` says so.
pub fn validate(value: &Value, node: &Node, embedded: bool, at: &Trail<'_>, out: &mut Findings) {
    match value {
        Value::Map(map) => {
            if embedded {
                object(map, at, out);
            }
            for (name, v) in map.iter() {
                if let Some(property) = node.property(name) {
                    validate(v, property, property.embedded, &at.child(name), out);
                } else if let Some(schema) = node.additional.schema() {
                    validate(v, schema, schema.embedded, &at.key(name), out);
                }
            }
        }
        Value::List(list) => {
            let Some(items) = node.items.as_deref() else { return };
            for (i, v) in list.iter().enumerate() {
                validate(v, items, items.embedded, &at.index(i), out);
            }
        }
        _ => {}
    }
}

fn object(map: &Map, at: &Trail<'_>, out: &mut Findings) {
    for field in ["apiVersion", "kind"] {
        let path = || at.child(field).path();
        match map.get(field) {
            None => out.push(FieldError::required(&path(), "")),
            Some(Value::Str(s)) if s.is_empty() => {
                out.push(FieldError::invalid(&path(), "\"\"", "must not be empty"));
            }
            Some(Value::Str(s)) if field == "kind" => {
                let complaints = name::dns1035_label(&s.to_lowercase());
                if !complaints.is_empty() {
                    let why = "may have mixed case, but should otherwise match: ".to_owned();
                    out.push(FieldError::invalid(&path(), quoted(s), why + &complaints.join(",")));
                }
            }
            Some(Value::Str(s)) if s.matches('/').count() > 1 => {
                let why = format!("unexpected GroupVersion string: {s}");
                out.push(FieldError::invalid(&path(), quoted(s), why));
            }
            Some(Value::Str(_)) => {}
            Some(other) => {
                out.push(FieldError::invalid(&path(), printed(Some(other)), "must be a string"));
            }
        }
    }
    if let Some(m) = map.get("metadata") {
        metadata(m, at, out);
    }
}

// k8s: staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go ValidateObjectMeta
fn metadata(value: &Value, at: &Trail<'_>, out: &mut Findings) {
    let path = at.child("metadata").path();
    let decoded = match read(value) {
        Ok(decoded) => decoded.value,
        Err(e) => return out.push(FieldError::invalid(&path, printed(Some(value)), e.to_string())),
    };
    let mut errors = Vec::new();
    for (field, ending) in [("generateName", true), ("name", false)] {
        let s = decoded.str_at(&[field]);
        let mut complaints = name::path_segment(s);
        if ending {
            complaints.retain(|c| !c.starts_with("may not be "));
        }
        let complaints = complaints.into_iter();
        errors.extend(complaints.map(|c| FieldError::invalid(&path.child(field), quoted(s), c)));
    }
    let namespace = decoded.str_at(&["namespace"]);
    if !namespace.is_empty() {
        let complaints = name::dns1123_label(namespace).into_iter();
        let field = path.child("namespace");
        errors.extend(complaints.map(|c| FieldError::invalid(&field, quoted(namespace), c)));
    }
    if let Some(n) = decoded.int_at(&["generation"]).filter(|n| *n < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("generation"), n.to_string(), why));
    }
    labels(&mut errors, decoded.get("labels"), &path.child("labels"));
    annotations(&mut errors, decoded.get("annotations"), &path.child("annotations"));
    owner_references(&mut errors, decoded.get("ownerReferences"), &path.child("ownerReferences"));
    finalizers(&mut errors, false, decoded.get("finalizers"), &path.child("finalizers"));
    errors.into_iter().for_each(|e| out.push(e));
}

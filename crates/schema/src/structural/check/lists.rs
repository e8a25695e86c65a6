//! What lists that are sets or maps must say of their elements.
// k8s: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go
// ValidateCustomResourceDefinitionOpenAPISchema, validateMapListKeysMapSet

use std::collections::HashSet;

use meta::FieldError;
use meta::field::quoted;

use crate::Value;
use crate::metadata::printed;
use crate::structural::findings::Findings;
use crate::structural::read;
use crate::structural::trail::Trail;

pub fn check(raw: &Value, at: &Trail<'_>, out: &mut Findings) {
    let list_type = raw.get("x-kubernetes-list-type").and_then(Value::as_str);
    let items = raw.get("items").filter(|i| i.as_map().is_some());
    if let Some(kind) = list_type {
        of_array(raw, kind, items, at, out);
    }
    keys_need_map(raw, list_type, at, out);
    match (list_type, items) {
        (Some("map"), _) => map(raw, items, at, out),
        (Some("set"), Some(items)) => not_nullable(items, "set", at, out),
        _ => {}
    }
}

fn of_array(raw: &Value, kind: &str, items: Option<&Value>, at: &Trail<'_>, out: &mut Findings) {
    let ty = raw.str_at(&["type"]);
    if ty != "array" {
        let why = "must be array if x-kubernetes-list-type is specified";
        let path = at.child("type").path();
        out.push(if ty.is_empty() {
            FieldError::required(&path, why)
        } else {
            FieldError::invalid(&path, quoted(ty), why)
        });
    } else if kind == "set"
        && let Some(items) = items
    {
        // Elements of a set are compared as wholes.
        let list_type = items.get("x-kubernetes-list-type").and_then(Value::as_str);
        let map_type = items.get("x-kubernetes-map-type").and_then(Value::as_str);
        let field = match items.str_at(&["type"]) {
            "array" if list_type.is_some_and(|t| t != "atomic") => Some("x-kubernetes-list-type"),
            "object" if map_type != Some("atomic") => Some("x-kubernetes-map-type"),
            _ => None,
        };
        if let Some(field) = field {
            let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let shown = printed(items.get("x-kubernetes-list-type"));
            out.push(FieldError::invalid(&at.child("items").child(field).path(), shown, why));
        }
    }
    if !matches!(kind, "atomic" | "set" | "map") {
        let path = at.child("x-kubernetes-list-type").path();
        out.push(FieldError::not_supported(&path, kind, &["atomic", "set", "map"]));
    }
}

fn keys_need_map(raw: &Value, list_type: Option<&str>, at: &Trail<'_>, out: &mut Findings) {
    if read::list(raw, "x-kubernetes-list-map-keys").is_empty() || list_type == Some("map") {
        return;
    }
    let path = at.child("x-kubernetes-list-type").path();
    let why = "must be map if x-kubernetes-list-map-keys is non-empty";
    out.push(match list_type {
        None => FieldError::required(&path, why),
        Some(other) => FieldError::invalid(&path, quoted(other), why),
    });
}

fn map(raw: &Value, items: Option<&Value>, at: &Trail<'_>, out: &mut Findings) {
    let keys = read::list(raw, "x-kubernetes-list-map-keys");
    if keys.is_empty() {
        let path = at.child("x-kubernetes-list-map-keys").path();
        out.push(FieldError::required(&path, "must not be empty if x-kubernetes-list-type is map"));
    }
    let items_at = at.child("items");
    let Some(items) = items else {
        out.push(match raw.get("items") {
            None => {
                let why = "must have a schema if x-kubernetes-list-type is map";
                FieldError::required(&items_at.path(), why)
            }
            list => {
                let why = "must only have a single schema if x-kubernetes-list-type is map";
                FieldError::invalid(&items_at.path(), printed(list), why)
            }
        });
        return;
    };
    let ty = items.str_at(&["type"]);
    if ty != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        out.push(FieldError::invalid(&items_at.child("type").path(), quoted(ty), why));
    } else {
        key_properties(keys, raw, items, at, out);
    }
    not_nullable(items, "map", at, out);
    key_values(keys, items, at, out);
}

fn key_properties(keys: &[Value], raw: &Value, items: &Value, at: &Trail<'_>, out: &mut Findings) {
    let keys_at = at.child("x-kubernetes-list-map-keys");
    let all = || printed(raw.get("x-kubernetes-list-map-keys"));
    let properties = properties_of(items);
    let mut seen = HashSet::new();
    for key in keys.iter().filter_map(Value::as_str) {
        match properties.get(key) {
            None => {
                let why = "entries must all be names of item properties";
                out.push(FieldError::invalid(&keys_at.path(), all(), why));
            }
            Some(p) if matches!(p.str_at(&["type"]), "array" | "object") => {
                let (items, why) = (
                    at.child("items"),
                    "must be a scalar type if parent array's x-kubernetes-list-type is map",
                );
                let properties = items.child("properties");
                let path = properties.key(key).path().child("type");
                out.push(FieldError::invalid(&path, quoted("object"), why));
            }
            Some(_) => {}
        }
        if !seen.insert(key) {
            out.push(FieldError::invalid(&keys_at.path(), all(), "must not contain duplicate entries"));
        }
    }
}

fn properties_of(items: &Value) -> std::collections::HashMap<&str, &Value> {
    items.get("properties").and_then(Value::as_map).into_iter().flat_map(|m| m.iter()).collect()
}

fn not_nullable(items: &Value, kind: &str, at: &Trail<'_>, out: &mut Findings) {
    if items.get("nullable").and_then(Value::as_bool) == Some(true) {
        let path = at.child("items").path().child("nullable");
        out.push(FieldError::forbidden(
            &path,
            format!("cannot be nullable when x-kubernetes-list-type is {kind}"),
        ));
    }
}

/// Every key of an element has a value.
fn key_values(keys: &[Value], items: &Value, at: &Trail<'_>, out: &mut Findings) {
    let required: HashSet<&str> = read::list(items, "required").iter().filter_map(Value::as_str).collect();
    let properties = properties_of(items);
    for key in keys.iter().filter_map(Value::as_str) {
        let Some(p) = properties.get(key) else { continue };
        let path = at.child("items").child("properties").key(key).path();
        if !required.contains(key) && p.get("default").is_none() {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            out.push(FieldError::required(&path.child("default"), why));
        }
        if p.get("nullable").and_then(Value::as_bool) == Some(true) {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            out.push(FieldError::forbidden(&path.child("nullable"), why));
        }
    }
}

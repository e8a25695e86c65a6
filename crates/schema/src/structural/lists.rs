//! Lists that are sets or maps: no element twice.
// k8s: apiextensions-apiserver pkg/apiserver/schema/listtype/validation.go

use std::collections::HashMap;

use meta::FieldError;

use super::findings::Findings;
use super::node::{ListKind, Node};
use super::trail::Trail;
use crate::json::format_float;
use crate::metadata::printed;
use crate::{Map, Value};

/// Complains of elements that a list of type set or map has twice.
pub fn validate(value: &Value, node: &Node, at: &Trail<'_>, out: &mut Findings) {
    match value {
        Value::Map(map) => {
            for (name, v) in map.iter() {
                if let Some(schema) = node.additional.schema() {
                    validate(v, schema, &at.key(name), out);
                }
                if let Some(property) = node.property(name) {
                    validate(v, property, &at.child(name), out);
                }
            }
        }
        Value::List(list) => {
            match node.list_kind {
                Some(ListKind::Set) => set(list, at, out),
                Some(ListKind::Map) => keyed(list, node, at, out),
                _ => {}
            }
            let Some(items) = node.items.as_deref() else { return };
            for (i, v) in list.iter().enumerate() {
                validate(v, items, &at.index(i), out);
            }
        }
        _ => {}
    }
}

fn set(list: &[Value], at: &Trail<'_>, out: &mut Findings) {
    for i in repeated(list.iter().map(identity)) {
        out.push(FieldError::duplicate(&at.index(i).path(), printed(Some(&list[i]))));
    }
}

fn keyed(list: &[Value], node: &Node, at: &Trail<'_>, out: &mut Findings) {
    if let Some(i) = list.iter().position(|v| !matches!(v, Value::Null | Value::Map(_))) {
        let why = "must be an object for an array of list-type map";
        return out.push(FieldError::invalid(&at.index(i).path(), printed(Some(&list[i])), why));
    }
    for i in repeated(list.iter().map(|v| key_identity(v, node))) {
        let mut key = Map::new();
        for name in &node.list_map_keys {
            if let Some(v) = list[i].as_map().and_then(|m| m.get(name)) {
                key.set(name.to_string(), v.clone());
            }
        }
        let shown = if key.is_empty() { "{}".to_owned() } else { printed(Some(&Value::Map(key))) };
        out.push(FieldError::duplicate(&at.index(i).path(), shown));
    }
}

/// The places at which something stands for the second time.
fn repeated(identities: impl Iterator<Item = Vec<u8>>) -> Vec<usize> {
    let mut times: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut out = Vec::new();
    for (i, id) in identities.enumerate() {
        let seen = times.entry(id).or_insert(0);
        *seen += 1;
        if *seen == 2 {
            out.push(i);
        }
    }
    out
}

/// What identifies an element of a list of type map; keys that it does not have count as not there.
pub fn key_identity(v: &Value, node: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    for name in &node.list_map_keys {
        match v.as_map().and_then(|m| m.get(name)) {
            None => out.push(b'-'),
            Some(v) => {
                out.push(b'=');
                let id = identity(v);
                out.extend_from_slice(&id.len().to_le_bytes());
                out.extend(id);
            }
        }
    }
    out
}

/// Bytes that two values share when Go finds them equal: numbers with a point differ from those without, but not
/// within objects and lists, which are compared by their text.
fn identity(v: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match v {
        Value::Float(f) => {
            out.push(b'f');
            out.extend_from_slice(&f.to_bits().to_le_bytes());
        }
        v => text(v, &mut out),
    }
    out
}

/// JSON with sorted keys.
fn text(v: &Value, out: &mut Vec<u8>) {
    match v {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(i) => out.extend_from_slice(i.to_string().as_bytes()),
        Value::Float(f) => out.extend_from_slice(format_float(*f).as_bytes()),
        Value::Str(s) => crate::write_json_string(out, s),
        Value::List(l) => {
            out.push(b'[');
            for v in l {
                text(v, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Map(m) => {
            let mut entries: Vec<(&str, &Value)> = m.iter().collect();
            entries.sort_by_key(|(k, _)| *k);
            out.push(b'{');
            for (k, v) in entries {
                crate::write_json_string(out, k);
                out.push(b':');
                text(v, out);
                out.push(b',');
            }
            out.push(b'}');
        }
    }
}

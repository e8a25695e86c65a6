//! Small steps of defaulting: put a value in where there is none. In fields that Go holds as plain values an
//! empty text and a zero count as absent, as upstream's defaulting sees them.

use schema::{Map, Value};

/// An empty map.
#[must_use]
pub fn empty_map() -> Value {
    Value::Map(Map::new())
}

/// Sets a text field that is absent or empty.
pub fn text(v: &mut Value, field: &'static str, default: &str) {
    if v.str_at(&[field]).is_empty() {
        v.set_at(&[field], default);
    }
}

/// Sets a field that is absent; zero is a value.
pub fn value(v: &mut Value, field: &'static str, default: impl Into<Value>) {
    if v.get(field).is_none() {
        v.set_at(&[field], default);
    }
}

/// Sets a number that is absent or zero.
pub fn number(v: &mut Value, field: &'static str, default: i64) {
    if v.int_at(&[field]).unwrap_or(0) == 0 {
        v.set_at(&[field], default);
    }
}

/// Runs `f` on each element of the list at `path`.
pub fn each(v: &mut Value, path: &[&str], f: impl FnMut(&mut Value)) {
    if let Some(list) = v.at_mut(path).and_then(Value::as_list_mut) {
        list.iter_mut().for_each(f);
    }
}

/// Runs `f` on the value at `path`, if there is one.
pub fn at(v: &mut Value, path: &[&str], f: impl FnOnce(&mut Value)) {
    if let Some(v) = v.at_mut(path) {
        f(v);
    }
}

/// Runs `f` on `field`, made an empty map when absent.
pub fn with_map(v: &mut Value, field: &'static str, f: impl FnOnce(&mut Value)) {
    if let Some(m) = v.as_map_mut() {
        f(m.entry(field, empty_map));
    }
}

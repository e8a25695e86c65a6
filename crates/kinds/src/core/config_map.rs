//! ConfigMap: configuration as keys and values.
// k8s: pkg/apis/core/validation/validation.go ValidateConfigMap, ValidateConfigMapUpdate

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Context, Kind, Operation, Strategy};
use crate::rules::{Errors, each, same};

/// `v1` ConfigMap.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "ConfigMap", "configmaps", "configmap")
    .with_short_names(&["cm"])
    .with_columns(COLUMNS)
    .with_strategy(&ConfigMapStrategy);

/// Limit of all keys' values together, in bytes; also of a Secret.
pub const DATA_LIMIT_BYTES: usize = 1024 * 1024;

const COLUMNS: &[Column] =
    &[NAME, text("Data", "Number of keys.", |o, _| Cell::Int(keys(o, "data") + keys(o, "binaryData"))), AGE];

/// Number of keys of a map field.
pub(super) fn keys(o: &Value, field: &str) -> i64 {
    o.get(field).and_then(Value::as_map).map_or(0, |m| i64::try_from(m.len()).unwrap_or(i64::MAX))
}

/// Bytes that base64 text stands for.
pub(super) fn decoded_len(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

/// Once `immutable` is set, it and these fields stay as they are.
pub(super) fn frozen(errors: &mut Errors, new: &Value, old: &Value, fields: &[&str]) {
    if old.bool_at(&["immutable"]) != Some(true) {
        return;
    }
    let why = "field is immutable when `immutable` is set";
    if new.bool_at(&["immutable"]) != Some(true) {
        errors.push(FieldError::forbidden(&Path::new("immutable"), why));
    }
    for field in fields.iter().filter(|f| !same(new.get(f), old.get(f))) {
        errors.push(FieldError::forbidden(&Path::new(field), why));
    }
}

struct ConfigMapStrategy;

impl Strategy for ConfigMapStrategy {
    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let mut size_bytes = 0;
        let binary = o.get("binaryData").and_then(Value::as_map);
        for (field, encoded) in [("data", false), ("binaryData", true)] {
            let path = Path::new(field);
            for (key, v) in o.get(field).and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
                each(&mut errors, &path.key(key), key, name::config_map_key(key));
                if !encoded && binary.is_some_and(|b| b.get(key).is_some()) {
                    let why = "duplicate of key present in binaryData";
                    errors.push(FieldError::invalid(&path.key(key), quoted(key), why));
                }
                let text = v.as_str().unwrap_or("");
                size_bytes += if encoded { decoded_len(text) } else { text.len() };
            }
        }
        if size_bytes > DATA_LIMIT_BYTES {
            errors.push(FieldError::too_long(&Path::new("[]"), DATA_LIMIT_BYTES));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        let mut errors = Errors::new();
        frozen(&mut errors, new, old, &["data", "binaryData"]);
        errors.extend(self.validate(new));
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn refuses() {
        let e = texts(&ConfigMapStrategy.validate(&yaml("{data: {a/b: x, k: x}, binaryData: {k: eA==}}")));
        assert!(e[0].starts_with("data[a/b]: Invalid value: \"a/b\": a valid config key must"), "{e:?}");
        assert_eq!(e[1], "data[k]: Invalid value: \"k\": duplicate of key present in binaryData");
        let big = yaml(&format!("{{data: {{k: '{}'}}}}", "x".repeat(DATA_LIMIT_BYTES + 1)));
        assert_eq!(
            texts(&ConfigMapStrategy.validate(&big)),
            ["[]: Too long: may not be more than 1048576 bytes"]
        );
        let old = yaml("{immutable: true, data: {a: b}}");
        let new = yaml("{data: {a: c}}");
        assert_eq!(
            texts(&ConfigMapStrategy.validate_update(&new, &old, Operation::Update)),
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set"
            ]
        );
    }
}

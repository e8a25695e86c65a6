//! Secret: keys and values that should not be seen. `stringData` is folded into `data` on every write.
// k8s: pkg/apis/core/validation/validation.go ValidateSecret, pkg/registry/core/secret/strategy.go

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::{FieldError, Path, name};
use schema::Value;

use super::config_map::{DATA_LIMIT_BYTES, decoded_len, frozen, keys};
use crate::columns::{AGE, NAME, text, text_at};
use crate::defaults::{self, with_map};
use crate::kind::{Cell, Column, Context, Kind, Operation, Strategy};
use crate::rules::{Errors, each, immutable};
use crate::selectable::{Selectable, field};

/// `v1` Secret.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Secret", "secrets", "secret")
    .with_columns(COLUMNS)
    .with_selectable_fields(FIELDS)
    .with_strategy(&SecretStrategy);

const FIELDS: &[Selectable] = &[field("type")];

const COLUMNS: &[Column] = &[
    NAME,
    text("Type", "What the secret is for.", |o, _| text_at(o, &["type"])),
    text("Data", "Number of keys.", |o, _| Cell::Int(keys(o, "data"))),
    AGE,
];

const ACCOUNT: &str = "kubernetes.io/service-account.name";
/// Types with the keys they must have.
const REQUIRED_KEYS: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

struct SecretStrategy;

impl Strategy for SecretStrategy {
    fn default_fields(&self, o: &mut Value) {
        defaults::text(o, "type", "Opaque");
        let Some(Value::Map(plain)) = o.as_map_mut().and_then(|m| m.remove("stringData")) else { return };
        with_map(o, "data", |data| {
            if let Some(data) = data.as_map_mut() {
                for (key, v) in plain.0 {
                    data.set(key, STANDARD.encode(v.as_str().unwrap_or("")));
                }
            }
        });
    }

    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, new: &mut Value, old: &Value, _op: Operation, _cx: &Context) {
        // A write that does not name the type keeps it; defaulting made it Opaque.
        if new.str_at(&["type"]).is_empty() {
            new.set_at(&["type"], old.str_at(&["type"]));
        }
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("data");
        let mut size_bytes = 0;
        for (key, v) in o.get("data").and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
            each(&mut errors, &path.key(key), key, name::config_map_key(key));
            size_bytes += decoded_len(v.as_str().unwrap_or(""));
        }
        if size_bytes > DATA_LIMIT_BYTES {
            errors.push(FieldError::too_long(&path, DATA_LIMIT_BYTES));
        }
        let kind = o.str_at(&["type"]);
        let has = |key: &str| o.at(&["data", key]).is_some();
        match kind {
            "kubernetes.io/service-account-token"
                if o.str_at(&["metadata", "annotations", ACCOUNT]).is_empty() =>
            {
                let at = Path::new("metadata").child("annotations").key(ACCOUNT);
                errors.push(FieldError::required(&at, ""));
            }
            "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
                for key in ["username", "password"] {
                    errors.push(FieldError::required(&path.key(key), ""));
                }
            }
            _ => {}
        }
        for (_, required) in REQUIRED_KEYS.iter().filter(|(t, _)| *t == kind) {
            for key in required.iter().filter(|k| !has(k)) {
                errors.push(FieldError::required(&path.key(key), ""));
            }
        }
        for key in [".dockercfg", ".dockerconfigjson"] {
            let expected = REQUIRED_KEYS.iter().any(|(t, k)| *t == kind && k.contains(&key));
            let broken = o.at(&["data", key]).and_then(|v| not_an_object(v.as_str().unwrap_or("")));
            if let (true, Some(why)) = (expected, broken) {
                errors.push(FieldError::invalid(&path.key(key), "\"<secret contents redacted>\"", why));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        let mut errors = Errors::new();
        immutable(&mut errors, new.get("type"), old.get("type"), &Path::new("type"));
        frozen(&mut errors, new, old, &["data"]);
        errors.extend(self.validate(new));
        errors
    }
}

/// Why Go would not read this as a JSON object.
fn not_an_object(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    let kind = match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Null) => return None,
        Ok(serde_json::Value::Array(_)) => "array",
        Ok(serde_json::Value::String(_)) => "string",
        Ok(serde_json::Value::Number(_)) => "number",
        Ok(serde_json::Value::Bool(_)) => "bool",
        Err(e) if e.is_eof() => return Some("unexpected end of JSON input".to_owned()),
        Err(e) => {
            let at = bytes.get(e.column().saturating_sub(1)).copied().map_or('?', char::from);
            return Some(format!("invalid character '{at}' looking for beginning of value"));
        }
    };
    Some(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn string_data_is_folded_in() {
        let mut o = yaml("{data: {a: eA==, b: eA==}, stringData: {b: hello}}");
        SecretStrategy.default_fields(&mut o);
        assert_eq!(o, yaml("{type: Opaque, data: {a: eA==, b: aGVsbG8=}}"));
    }

    #[test]
    fn types_need_their_keys() {
        let table: &[(&str, &[&str])] = &[
            ("{type: Opaque}", &[]),
            ("{type: kubernetes.io/tls, data: {tls.crt: ''}}", &["data[tls.key]: Required value"]),
            (
                "{type: kubernetes.io/basic-auth}",
                &["data[username]: Required value", "data[password]: Required value"],
            ),
            (
                "{type: kubernetes.io/service-account-token}",
                &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
            (
                "{type: kubernetes.io/dockerconfigjson, data: {.dockerconfigjson: eA==}}",
                &[
                    "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character 'x' looking for beginning of value",
                ],
            ),
            ("{type: kubernetes.io/dockerconfigjson, data: {.dockerconfigjson: e30=}}", &[]),
        ];
        for (text, want) in table {
            assert_eq!(texts(&SecretStrategy.validate(&yaml(text))), *want, "{text}");
        }
        let e = SecretStrategy.validate_update(&yaml("{type: a}"), &yaml("{type: b}"), Operation::Update);
        assert_eq!(texts(&e), ["type: Invalid value: \"a\": field is immutable"]);
    }
}

//! The three patches that a client may send besides apply: JSON Patch, JSON Merge Patch, strategic merge patch.
//! It must never know a kind: what merges how is in the field table.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go

mod json_patch;
mod merge;
mod order;
mod strategic;

use meta::{FieldError, Path, Status};

use crate::json::{
    DecodeError, Decoded, FieldValidation, decode_json, decode_plain, encode_json, encode_plain,
};
use crate::yaml::decode_yaml_plain;
use crate::{TypeRef, Value};

pub use json_patch::{MAX_OPERATIONS, json_patch};
pub use merge::merge_patch;
pub use strategic::strategic_merge;

/// The form of a patch, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`
    Json,
    /// `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`
    Strategic,
}

impl PatchKind {
    /// By media type without parameters; apply is not one of them.
    #[must_use]
    pub fn from_media_type(media_type: &str) -> Option<PatchKind> {
        match media_type {
            "application/json-patch+json" => Some(PatchKind::Json),
            "application/merge-patch+json" => Some(PatchKind::Merge),
            "application/strategic-merge-patch+json" => Some(PatchKind::Strategic),
            _ => None,
        }
    }
}

/// Why a patch could not be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is malformed: 400.
    #[error("{0}")]
    BadRequest(String),
    /// The patch does not apply to the object: 422. Upstream does not tell the client why.
    #[error("{0}")]
    Unprocessable(String),
    /// 413.
    #[error("{0}")]
    TooLarge(String),
    /// The patched object is not of its type.
    #[error("{error}")]
    Decode { error: DecodeError, patched: String },
}

impl From<PatchError> for Status {
    fn from(e: PatchError) -> Status {
        match e {
            PatchError::BadRequest(message) => Status::failure(400, "BadRequest", message),
            PatchError::Unprocessable(_) => {
                let why = "the server rejected our request due to an error in our request";
                let mut s = Status::failure(422, "Invalid", why);
                s.details = Some(meta::StatusDetails::default());
                s
            }
            PatchError::TooLarge(message) => {
                Status::failure(413, "RequestEntityTooLarge", format!("Request entity too large: {message}"))
            }
            PatchError::Decode { error: DecodeError::Strict(errors), .. } => {
                Status::failure(400, "BadRequest", DecodeError::Strict(errors).to_string())
            }
            PatchError::Decode { error, patched } => {
                let shown = meta::field::quoted(&patched);
                let cause = FieldError::invalid(&Path::new("patch"), shown, error.to_string());
                Status::invalid(&meta::Gvk::new("", "", ""), "", &[cause])
            }
        }
    }
}

/// Applies a patch to an object of type `ty` and decodes what comes out by the type again.
/// The caller limits the size of `patch`, and does defaulting, strategy and validation afterwards.
///
/// # Errors
/// When the patch is malformed, does not apply, or leads to something that is not of the type.
pub fn apply(
    current: &Value,
    ty: TypeRef<'_>,
    kind: PatchKind,
    patch: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, PatchError> {
    let patch = read_for(kind, patch)?;
    let shown = (kind == PatchKind::Strategic).then(|| go_form(&patch));
    let mut object =
        decode_plain(&encode_json(current, ty)).map_err(|e| PatchError::BadRequest(e.to_string()))?;
    match kind {
        PatchKind::Json => json_patch(&mut object, &patch)?,
        PatchKind::Merge => merge_patch(&mut object, patch),
        PatchKind::Strategic => strategic_merge(&mut object, patch, ty)?,
    }
    let bytes = encode_plain(&object);
    decode_json(&bytes, ty, validation).map_err(|error| PatchError::Decode {
        error,
        patched: shown.unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned()),
    })
}

/// Applies a JSON patch or a merge patch to an object without a type.
///
/// # Errors
/// When the patch is malformed, does not apply, or is a strategic one: that needs a type.
pub fn apply_plain(current: &Value, kind: PatchKind, patch: &[u8]) -> Result<Value, PatchError> {
    let patch = read_for(kind, patch)?;
    let mut object = current.clone();
    match kind {
        PatchKind::Json => json_patch(&mut object, &patch)?,
        PatchKind::Merge => merge_patch(&mut object, patch),
        PatchKind::Strategic => {
            let why = "a strategic merge patch needs a type that says how lists are merged";
            return Err(PatchError::BadRequest(why.to_owned()));
        }
    }
    Ok(object)
}

fn read_for(kind: PatchKind, patch: &[u8]) -> Result<Value, PatchError> {
    let patch = read(patch)?;
    if kind == PatchKind::Json || matches!(patch, Value::Map(_)) {
        return Ok(patch);
    }
    let why =
        format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", go_kind(&patch));
    Err(PatchError::BadRequest(format!("error decoding patch: {why}")))
}

/// A tree as Go prints it with `%+v`: of a strategic patch upstream shows the patch, of others what came out.
fn go_form(v: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(" ");
    match v {
        Value::Null => "<nil>".to_owned(),
        Value::Str(s) => s.to_string(),
        Value::List(l) => format!("[{}]", joined(l.iter().map(go_form).collect())),
        Value::Map(m) => {
            let mut entries: Vec<(&str, &Value)> = m.iter().collect();
            entries.sort_by_key(|(k, _)| *k);
            format!("map[{}]", joined(entries.iter().map(|(k, v)| format!("{k}:{}", go_form(v))).collect()))
        }
        other => String::from_utf8_lossy(&encode_plain(other)).into_owned(),
    }
}

/// What Go's decoder calls a value of this sort.
fn go_kind(v: &Value) -> &'static str {
    match v {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Str(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

/// Patches are JSON; upstream takes YAML too.
fn read(patch: &[u8]) -> Result<Value, PatchError> {
    match decode_plain(patch) {
        Ok(v) => Ok(v),
        Err(e) if matches!(patch.trim_ascii_start().first(), Some(b'{' | b'[')) => {
            Err(PatchError::BadRequest(format!("error decoding patch: {e}")))
        }
        Err(_) => {
            decode_yaml_plain(patch).map_err(|e| PatchError::BadRequest(format!("error decoding patch: {e}")))
        }
    }
}

/// Equality that does not tell 1 from 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(i), Value::Float(f)) | (Value::Float(f), Value::Int(i)) => *i as f64 == *f,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        decode_plain(json.as_bytes()).unwrap_or_else(|e| panic!("{json}: {e}"))
    }

    #[test]
    fn through_the_type() {
        let ty = crate::type_of("apps", "v1", "Deployment").expect("a built-in kind");
        let current = decode_json(
            br#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"x"},"spec":{"replicas":1}}"#,
            ty,
            FieldValidation::Strict,
        );
        let current = current.expect("a deployment").value;
        let apply = |kind, patch: &str| apply(&current, ty, kind, patch.as_bytes(), FieldValidation::Strict);
        let replicas = |kind, patch: &str| {
            apply(kind, patch).unwrap_or_else(|e| panic!("{patch}: {e}")).value.int_at(&["spec", "replicas"])
        };
        assert_eq!(replicas(PatchKind::Merge, r#"{"spec":{"replicas":3}}"#), Some(3));
        assert_eq!(replicas(PatchKind::Merge, "spec:\n  replicas: 4"), Some(4));
        assert_eq!(replicas(PatchKind::Strategic, r#"{"spec":{"replicas":null}}"#), None);
        assert_eq!(
            replicas(PatchKind::Json, r#"[{"op":"replace","path":"/spec/replicas","value":5}]"#),
            Some(5)
        );
        // What is always written can be replaced though it was never given.
        assert!(apply(PatchKind::Json, r#"[{"op":"replace","path":"/status","value":{}}]"#).is_ok());

        let status = |kind, patch: &str| Status::from(apply(kind, patch).expect_err(patch));
        let unknown = status(PatchKind::Merge, r#"{"spec":{"replicaz":3}}"#);
        assert_eq!(unknown.code, 400);
        assert_eq!(unknown.message, "strict decoding error: unknown field \"spec.replicaz\"");
        let mistyped = status(PatchKind::Merge, r#"{"spec":{"replicas":"x"}}"#);
        assert_eq!(mistyped.code, 422);
        assert!(
            mistyped
                .message
                .starts_with(r#" "" is invalid: patch: Invalid value: "{\"kind\":\"Deployment\""#),
            "{mistyped}"
        );
        let mistyped = status(PatchKind::Strategic, r#"{"spec":{"replicas":"x","paused":true}}"#);
        assert!(
            mistyped.message.starts_with(
                r#" "" is invalid: patch: Invalid value: "map[spec:map[paused:true replicas:x]]": "#
            ),
            "{mistyped}"
        );
        assert_eq!(status(PatchKind::Merge, "{").code, 400);
        assert_eq!(
            status(PatchKind::Merge, "[]").message,
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        );
        assert_eq!(status(PatchKind::Json, r#"[{"op":"remove","path":"/nope"}]"#).code, 422);
    }

    #[test]
    fn numbers_compare_by_value() {
        assert!(same(&value(r#"{"a":[1]}"#), &value(r#"{"a":[1.0]}"#)));
        assert!(!same(&value("1"), &value("1.5")));
    }
}

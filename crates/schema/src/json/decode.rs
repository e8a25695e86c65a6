//! The decoder's interface: what goes in, what comes out, what can go wrong.

use meta::Status;

use super::typed::{Reader, Report};
use crate::{Map, TypeRef, Value};

/// Objects and lists may be nested this deep.
pub const MAX_DEPTH: usize = 512;

/// What to do about fields that are unknown or given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FieldValidation {
    Ignore,
    /// They come back as warnings.
    Warn,
    /// They are an error.
    #[default]
    Strict,
}

/// A decoded object.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub value: Value,
    /// With [`FieldValidation::Warn`]: `unknown field "spec.foo"`, `duplicate field "spec.replicas"`.
    pub warnings: Vec<String>,
}

/// Why input could not be decoded. The texts are upstream's, to be wrapped in a 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not well-formed.
    #[error("{0}")]
    Syntax(String),
    /// Well-formed, but not of the type.
    #[error("{0}")]
    Type(String),
    /// Unknown or duplicate fields under [`FieldValidation::Strict`].
    #[error("strict decoding error: {}", .0.join(", "))]
    Strict(Vec<String>),
    #[error("exceeded max depth")]
    TooDeep,
}

impl DecodeError {
    /// The answer to a request whose body says it is `kind` in `version` (empty when it does not say) and had to
    /// be a `wanted`.
    // k8s: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/rest.go transformDecodeError
    #[must_use]
    pub fn to_status(&self, kind: &str, version: &str, wanted: &str) -> Status {
        let message = if kind.is_empty() {
            format!("the object provided is unrecognized (must be of type {wanted}): {self}")
        } else {
            format!("{kind} in version {version:?} cannot be handled as a {wanted}: {self}")
        };
        Status::failure(400, "BadRequest", message)
    }
}

/// Decodes JSON into a value of type `ty`: fields in the table's order, map keys sorted, scalars canonical,
/// null and (where Go would drop them) zero fields absent. Field names are case-sensitive.
/// The caller limits the size of `bytes`.
///
/// # Errors
/// When the text is not JSON, not of the type, too deep, or has unknown fields under `Strict`.
// k8s: staging/src/k8s.io/apimachinery/pkg/runtime/serializer/json/json.go Decode
pub fn decode_json(
    bytes: &[u8],
    ty: TypeRef<'_>,
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::new(&text, ty.table, Report::new(validation));
    let value = reader.document(ty.ty)?.unwrap_or(Value::Map(Map::new()));
    let warnings = reader.finish()?;
    Ok(Decoded { value, warnings })
}

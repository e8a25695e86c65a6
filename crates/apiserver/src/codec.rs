//! The schema's codecs with the server's error texts. It must never know a kind by name.

use bytes::Bytes;
use meta::Status;
use schema::{DecodeError, FieldValidation, TypeRef, Value};

/// Encodings of API objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Protobuf,
}

pub const JSON: &str = "application/json";
pub const YAML: &str = "application/yaml";
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

impl Format {
    /// The media type of a body in this format.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Format::Json => JSON,
            Format::Yaml => YAML,
            Format::Protobuf => PROTOBUF,
        }
    }

    /// The format of a media type, or of a wildcard.
    #[must_use]
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            JSON | "application/*" | "*/*" => Some(Format::Json),
            YAML => Some(Format::Yaml),
            PROTOBUF => Some(Format::Protobuf),
            _ => None,
        }
    }
}

/// Reads stored (or served) JSON of a type. It was written by this server, so failure is 500.
///
/// # Errors
/// 500 when the bytes are not of the type.
pub fn stored(bytes: &[u8], ty: TypeRef<'_>) -> Result<Value, Status> {
    schema::decode_json(bytes, ty, FieldValidation::Ignore)
        .map(|d| d.value)
        .map_err(|e| Status::internal(format!("a stored object cannot be read: {e}")))
}

/// Canonical JSON.
#[must_use]
pub fn encode(value: &Value, ty: TypeRef<'_>) -> Vec<u8> {
    schema::encode_json(value, ty)
}

/// Reads a request body. Gives the value and warnings about fields.
///
/// # Errors
/// 400 with upstream's words.
pub fn body(
    bytes: &[u8],
    format: Format,
    ty: TypeRef<'_>,
    kind: &str,
    api_version: &str,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    let decoded = match format {
        Format::Json => schema::decode_json(bytes, ty, validation),
        Format::Yaml => schema::decode_yaml(bytes, ty, validation),
        Format::Protobuf => {
            schema::decode_protobuf(bytes, ty).map(|value| schema::Decoded { value, warnings: Vec::new() })
        }
    };
    let decoded = decoded.map_err(|e| refuse(&e, bytes, format, kind, api_version))?;
    Ok((decoded.value, decoded.warnings))
}

/// Reads a request body that has no type, and says which keys stand in it more than once.
///
/// # Errors
/// When it is not well-formed.
pub fn plain(bytes: &[u8], format: Format) -> Result<(Value, Vec<String>), DecodeError> {
    match format {
        Format::Yaml => schema::decode_yaml_plain(bytes).map(|value| (value, Vec::new())),
        Format::Json | Format::Protobuf => schema::decode_plain_telling(bytes),
    }
}

/// 400 for a body that cannot be decoded. What is not well-formed has not said its kind yet.
// k8s: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/rest.go transformDecodeError
pub fn refuse(e: &DecodeError, bytes: &[u8], format: Format, kind: &str, api_version: &str) -> Status {
    let what = match (e, format) {
        (DecodeError::Syntax(_), Format::Json) => "couldn't get version/kind; json parse error: ",
        (DecodeError::Syntax(_), Format::Yaml) => "",
        _ => {
            let version = version(api_version);
            let message = format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {e}");
            return Status::bad_request(message);
        }
    };
    let start = beginning(bytes);
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {what}{e} ({start})"
    ))
}

/// The first bytes of a body, for a message: as text when it looks like JSON, else in hexadecimal.
fn beginning(bytes: &[u8]) -> String {
    const LIMIT_BYTES: usize = 30;
    let start = &bytes[..bytes.len().min(LIMIT_BYTES)];
    let mut out = match start.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(start).into_owned(),
        Some(_) => start.iter().map(|b| format!("{b:02x}")).collect(),
    };
    if bytes.len() > LIMIT_BYTES {
        out.push_str(" ...");
    }
    out
}

fn version(api_version: &str) -> &str {
    meta::gvr::split_api_version(api_version).1
}

/// JSON to YAML for people.
///
/// # Errors
/// 500 when the JSON is broken.
pub fn json_to_yaml(json: &[u8]) -> Result<Vec<u8>, Status> {
    let value = schema::decode_plain(json).map_err(|e| Status::internal(e.to_string()))?;
    Ok(schema::encode_yaml_plain(&value))
}

/// JSON to the protobuf envelope.
///
/// # Errors
/// 406 when the type has no protobuf form, 500 when the JSON is broken.
pub fn json_to_protobuf(json: &[u8], ty: TypeRef<'_>) -> Result<Vec<u8>, Status> {
    if !ty.has_protobuf() {
        return Err(Status::not_acceptable(&["application/json", "application/yaml"]));
    }
    Ok(schema::encode_protobuf(&stored(json, ty)?, ty))
}

/// A watch event in protobuf: four bytes of length, then a WatchEvent whose object is an envelope.
///
/// # Errors
/// As [`json_to_protobuf`].
pub fn protobuf_frame(kind: &str, object: &[u8], ty: TypeRef<'_>) -> Result<Vec<u8>, Status> {
    let event = schema::protobuf::watch_event(kind, &json_to_protobuf(object, ty)?);
    let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(&event);
    Ok(out)
}

/// Indented JSON for people; broken JSON comes back as it is.
#[must_use]
pub fn pretty(json: &Bytes) -> Bytes {
    match schema::decode_plain(json) {
        Ok(value) => {
            let mut out = Vec::with_capacity(json.len() * 2);
            indent(&mut out, &value, 0);
            out.push(b'\n');
            out.into()
        }
        Err(_) => json.clone(),
    }
}

fn indent(out: &mut Vec<u8>, value: &Value, depth: usize) {
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', depth * 2));
    };
    match value {
        Value::Map(map) if !map.is_empty() => {
            out.push(b'{');
            for (i, (k, v)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                line(out, depth + 1);
                schema::write_json_string(out, k);
                out.extend_from_slice(b": ");
                indent(out, v, depth + 1);
            }
            line(out, depth);
            out.push(b'}');
        }
        Value::List(list) if !list.is_empty() => {
            out.push(b'[');
            for (i, v) in list.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                line(out, depth + 1);
                indent(out, v, depth + 1);
            }
            line(out, depth);
            out.push(b']');
        }
        other => out.extend_from_slice(&schema::encode_plain(other)),
    }
}

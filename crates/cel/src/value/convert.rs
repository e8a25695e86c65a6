//! Conversions between types: `int('1')`, `string(1.5)`.
//! It must never round where upstream refuses.
// k8s: github.com/google/cel-go common/types ConvertToType

use super::data::Value;
use super::number;
use super::text::{Blob, Text};
use super::time::{Duration, Parsed, Timestamp};
use crate::error::Error;
use crate::types::Type;

/// `value` as one of type `to`.
///
/// # Errors
/// That it is none, in upstream's words.
pub fn convert<'a>(value: &Value<'a>, to: &Type) -> Result<Value<'a>, Error> {
    if value.ty() == *to {
        return Ok(value.clone());
    }
    let overflow = || Error::new("integer overflow");
    let unsigned = || Error::new("unsigned integer overflow");
    Ok(match (value, to) {
        (_, Type::Type(_)) => Value::Type(value.ty()),
        (Value::Int(i), Type::Uint) => Value::Uint(u64::try_from(*i).map_err(|_| unsigned())?),
        (Value::Int(i), Type::Double) => Value::Double(*i as f64),
        (Value::Int(i), Type::Timestamp) => {
            Value::Timestamp(Timestamp::new(*i, 0).ok_or(Error::new("timestamp overflow"))?)
        }
        (Value::Uint(u), Type::Int) => Value::Int(i64::try_from(*u).map_err(|_| overflow())?),
        (Value::Uint(u), Type::Double) => Value::Double(*u as f64),
        (Value::Double(d), Type::Int) => Value::Int(number::to_int(*d).ok_or_else(overflow)?),
        (Value::Double(d), Type::Uint) => Value::Uint(number::to_uint(*d).ok_or_else(unsigned)?),
        (Value::Timestamp(t), Type::Int) => Value::Int(t.seconds()),
        (Value::Duration(d), Type::Int) => Value::Int(d.nanos()),
        (Value::Str(s), _) => return parsed(s, to),
        (Value::Bytes(b), Type::String) => match std::str::from_utf8(b) {
            Ok(s) => Value::Str(Text::Shared(s.into())),
            Err(_) => return Err(Error::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        (Value::Double(d), Type::String) => Value::str(number::shortest(*d)),
        (Value::Bool(_) | Value::Int(_) | Value::Uint(_), Type::String)
        | (Value::Timestamp(_) | Value::Duration(_) | Value::Null | Value::Type(_), Type::String) => {
            Value::str(value.to_string())
        }
        (Value::Opaque(o), Type::String) => Value::str(o.text().ok_or_else(|| refused(value, to))?),
        _ => return Err(refused(value, to)),
    })
}

fn refused(value: &Value<'_>, to: &Type) -> Error {
    Error::new(format!("type conversion error from '{}' to '{}'", value.type_name(), to.name()))
}

fn parsed<'a>(text: &Text<'a>, to: &Type) -> Result<Value<'a>, Error> {
    let value = match to {
        Type::Int => number::parse_int(text).map(Value::Int),
        Type::Uint => number::parse_uint(text).map(Value::Uint),
        Type::Double => number::parse_double(text).map(Value::Double),
        Type::Bool => match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(Value::Bool(false)),
            _ => None,
        },
        Type::Bytes => Some(Value::Bytes(match text {
            Text::Borrowed(s) => Blob::Borrowed(s.as_bytes()),
            Text::Shared(s) => Blob::Shared(s.as_bytes().into()),
        })),
        Type::Duration => Duration::parse(text).map(Value::Duration),
        Type::Timestamp => match Timestamp::parse(text) {
            Some(Parsed::At(t)) => Some(Value::Timestamp(t)),
            Some(Parsed::OutOfRange) => return Err(Error::new("timestamp overflow")),
            None => None,
        },
        _ => None,
    };
    value.ok_or_else(|| refused(&Value::Str(text.clone()), to))
}

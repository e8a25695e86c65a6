//! Protobuf message to value. Unknown numbers are skipped, as upstream does.

use std::borrow::Cow;

use meta::Quantity;

use super::reader::{Reader, Wire, text, truncated};
use crate::json::{DecodeError, MAX_DEPTH, compact_text, decode_plain, zero};
use crate::table::{Field, Table, Type, Wire as Target};
use crate::{Map, TypeRef, Value, scalar};

/// Decodes a bare message of type `ty`.
///
/// # Errors
/// When the bytes are no such message.
pub fn decode_message(bytes: &[u8], ty: TypeRef<'_>) -> Result<Value, DecodeError> {
    let decoder = Decoder { table: ty.table };
    Ok(decoder.bytes(ty.ty, bytes, MAX_DEPTH)?.unwrap_or_default())
}

struct Decoder<'t> {
    table: &'t Table,
}

fn wrong_wire(ty: Type) -> DecodeError {
    DecodeError::Syntax(format!("proto: wrong wireType for {ty:?}"))
}

impl Decoder<'_> {
    fn message(&self, id: u16, bytes: &[u8], depth: usize) -> Result<Map, DecodeError> {
        let mut map = Map::new();
        self.message_into(&mut map, id, bytes, depth)?;
        let fields = self.table.fields_of(id);
        let place = |name: &str| fields.iter().position(|f| f.name == name).unwrap_or(usize::MAX);
        map.0.retain(|(k, v)| fields.get(place(k)).is_none_or(|f| !f.is_dropped(v)));
        if !map.0.is_sorted_by_key(|(k, _)| place(k)) {
            map.0.sort_by_cached_key(|(k, _)| place(k));
        }
        Ok(map)
    }

    fn message_into(&self, map: &mut Map, id: u16, bytes: &[u8], depth: usize) -> Result<(), DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        let targets = self.table.wire_of(id);
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.next()? {
            let Ok(at) = targets.binary_search_by_key(&number, |(n, _)| u32::from(*n)) else { continue };
            match targets[at].1 {
                Target::Field(field) => {
                    self.field(map, &self.table.fields[field as usize], wire, depth)?;
                }
                Target::Inlined(inner) => {
                    let Wire::Bytes(b) = wire else { return Err(wrong_wire(Type::Struct(inner))) };
                    self.message_into(map, inner, b, depth)?;
                }
            }
        }
        Ok(())
    }

    fn field(&self, map: &mut Map, field: &Field, wire: Wire<'_>, depth: usize) -> Result<(), DecodeError> {
        match field.ty {
            Type::List(e) => {
                let elem = self.table.elem(e);
                let list = map.entry(field.name.clone(), || Value::List(Vec::new()));
                let Value::List(list) = list else { return Ok(()) };
                match wire {
                    Wire::Bytes(b) if is_number(elem) => self.packed(list, elem, b),
                    _ => {
                        list.push(self.value(elem, wire, depth)?.unwrap_or_else(|| zero(elem)));
                        Ok(())
                    }
                }
            }
            Type::Map(e) => {
                let Wire::Bytes(b) = wire else { return Err(wrong_wire(field.ty)) };
                let (key, value) = self.entry(self.table.elem(e), b, depth)?;
                let entries = map.entry(field.name.clone(), || Value::Map(Map::new()));
                let Value::Map(entries) = entries else { return Ok(()) };
                match entries.0.binary_search_by(|(k, _)| k.as_ref().cmp(&key)) {
                    Ok(at) => entries.0[at].1 = value,
                    Err(at) => entries.0.insert(at, (Cow::Owned(key), value)),
                }
                Ok(())
            }
            ty => {
                if let Some(value) = self.value(ty, wire, depth)? {
                    map.set(field.name.clone(), value);
                }
                Ok(())
            }
        }
    }

    fn packed(&self, list: &mut Vec<Value>, elem: Type, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let wire = match elem {
                Type::Float => Wire::Fixed64(reader.fixed64()?),
                _ => Wire::Varint(reader.varint()?),
            };
            list.push(number(elem, wire)?);
        }
        Ok(())
    }

    fn entry(&self, elem: Type, bytes: &[u8], depth: usize) -> Result<(String, Value), DecodeError> {
        let (mut key, mut value) = (String::new(), None);
        let mut reader = Reader::new(bytes);
        while let Some(field) = reader.next()? {
            match field {
                (1, Wire::Bytes(b)) => key = text(b).into_owned(),
                (2, wire) => value = self.value(elem, wire, depth)?,
                _ => {}
            }
        }
        let value = match value {
            Some(value) => value,
            None if elem == Type::Bytes => Value::Str("".into()),
            None => zero(elem),
        };
        Ok((key, value))
    }

    /// `None` is a zero that has no text (time) or nothing raw.
    fn value(&self, ty: Type, wire: Wire<'_>, depth: usize) -> Result<Option<Value>, DecodeError> {
        if is_number(ty) {
            return number(ty, wire).map(Some);
        }
        match wire {
            Wire::Bytes(b) => self.bytes(ty, b, depth),
            _ => Err(wrong_wire(ty)),
        }
    }

    fn bytes(&self, ty: Type, b: &[u8], depth: usize) -> Result<Option<Value>, DecodeError> {
        Ok(match ty {
            Type::String | Type::Named(_) => Some(text(b).as_ref().into()),
            Type::Bytes => Some(scalar::encode_base64(b).into()),
            Type::Struct(id) => Some(Value::Map(self.message(id, b, depth)?)),
            Type::Time => {
                let (seconds, _) = seconds_and_nanos(b)?;
                (!b.is_empty()).then(|| scalar::format_time(seconds)).flatten().map(Value::Str)
            }
            Type::MicroTime => {
                let (seconds, nanos) = seconds_and_nanos(b)?;
                (!b.is_empty()).then(|| scalar::format_micro_time(seconds, nanos)).flatten().map(Value::Str)
            }
            Type::Duration => Some(scalar::format_duration(seconds_and_nanos(b)?.0).into()),
            Type::Quantity => Some(quantity(b)?),
            Type::IntOrString => Some(int_or_string(b)?),
            Type::FieldsV1 => match last_bytes(b, 1)? {
                Some(raw) if !raw.is_empty() => compact_text(raw)?,
                _ => None,
            },
            Type::RawExtension | Type::Json => match last_bytes(b, 1)? {
                Some(raw) if !raw.is_empty() => Some(decode_plain(raw)?).filter(|v| !v.is_null()),
                _ => None,
            },
            Type::MessageList(e) => {
                let mut list = Vec::new();
                let mut reader = Reader::new(b);
                while let Some((number, wire)) = reader.next()? {
                    if number == 1 {
                        list.push(self.value(self.table.elem(e), wire, depth)?.unwrap_or_default());
                    }
                }
                Some(Value::List(list))
            }
            Type::SchemaOrArray(id) | Type::SchemaOrBool(id) | Type::SchemaOrStrings(id) => {
                self.schema_or(ty, id, b, depth)?
            }
            _ => return Err(wrong_wire(ty)),
        })
    }

    fn schema_or(&self, ty: Type, id: u16, b: &[u8], depth: usize) -> Result<Option<Value>, DecodeError> {
        let (mut one, mut many, mut allows) = (None, Vec::new(), false);
        let mut reader = Reader::new(b);
        while let Some((number, wire)) = reader.next()? {
            match (ty, number, wire) {
                (Type::SchemaOrBool(_), 1, Wire::Varint(v)) => allows = v != 0,
                (Type::SchemaOrBool(_), 2, Wire::Bytes(b)) | (_, 1, Wire::Bytes(b)) => {
                    one = Some(Value::Map(self.message(id, b, depth)?));
                }
                (Type::SchemaOrArray(_), 2, Wire::Bytes(b)) => {
                    many.push(Value::Map(self.message(id, b, depth)?));
                }
                (Type::SchemaOrStrings(_), 2, Wire::Bytes(b)) => many.push(text(b).as_ref().into()),
                _ => {}
            }
        }
        Ok(match ty {
            Type::SchemaOrBool(_) => one.or(Some(Value::Bool(allows))),
            _ if many.is_empty() => one,
            _ => Some(Value::List(many)),
        })
    }
}

fn is_number(ty: Type) -> bool {
    matches!(ty, Type::Bool | Type::Int32 | Type::Int64 | Type::Float)
}

fn number(ty: Type, wire: Wire<'_>) -> Result<Value, DecodeError> {
    Ok(match (ty, wire) {
        (Type::Bool, Wire::Varint(v)) => Value::Bool(v != 0),
        (Type::Int32, Wire::Varint(v)) => Value::Int(i64::from(v as i32)),
        (Type::Int64, Wire::Varint(v)) => Value::Int(v as i64),
        (Type::Float, Wire::Fixed64(v)) => {
            Value::Float(Some(f64::from_bits(v)).filter(|f| f.is_finite()).unwrap_or(0.0))
        }
        (Type::Float, Wire::Fixed32(v)) => Value::Float(f64::from(f32::from_bits(v))),
        _ => return Err(wrong_wire(ty)),
    })
}

fn seconds_and_nanos(b: &[u8]) -> Result<(i64, i32), DecodeError> {
    let mut out = (0, 0);
    let mut reader = Reader::new(b);
    while let Some(field) = reader.next()? {
        match field {
            (1, Wire::Varint(v)) => out.0 = v as i64,
            (2, Wire::Varint(v)) => out.1 = v as i32,
            _ => {}
        }
    }
    Ok(out)
}

fn last_bytes(b: &[u8], wanted: u32) -> Result<Option<&[u8]>, DecodeError> {
    let mut found = None;
    let mut reader = Reader::new(b);
    while let Some((number, wire)) = reader.next()? {
        match wire {
            Wire::Bytes(b) if number == wanted => found = Some(b),
            _ if number == wanted => return Err(truncated()),
            _ => {}
        }
    }
    Ok(found)
}

fn quantity(b: &[u8]) -> Result<Value, DecodeError> {
    let text = last_bytes(b, 1)?.map(text).unwrap_or_default();
    if text.is_empty() {
        return Ok("0".into());
    }
    let canonical = Quantity::canonical(&text).map_err(|e| DecodeError::Type(e.to_string()))?;
    Ok(canonical.as_ref().into())
}

fn int_or_string(b: &[u8]) -> Result<Value, DecodeError> {
    let (mut is_text, mut int, mut string) = (false, 0, String::new());
    let mut reader = Reader::new(b);
    while let Some(field) = reader.next()? {
        match field {
            (1, Wire::Varint(v)) => is_text = v == 1,
            (2, Wire::Varint(v)) => int = i64::from(v as i32),
            (3, Wire::Bytes(b)) => string = text(b).into_owned(),
            _ => {}
        }
    }
    Ok(if is_text { string.into() } else { int.into() })
}

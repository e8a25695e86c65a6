//! Value to protobuf message, byte for byte as upstream writes it: ascending numbers, map keys sorted,
//! zero scalars of non-pointer fields written. Written from the end, so that lengths are known.

use crate::json::encode_plain;
use crate::table::{Field, Table, Type, Wire};
use crate::{Map, TypeRef, Value, scalar};

/// The bare message of a value of type `ty`.
#[must_use]
pub fn encode_message(value: &Value, ty: TypeRef<'_>) -> Vec<u8> {
    let mut w = Writer::with_capacity(1024);
    let encoder = Encoder { table: ty.table };
    encoder.body(&mut w, ty.ty, value);
    w.finish()
}

/// Writes a message backwards.
pub struct Writer {
    /// Reversed.
    out: Vec<u8>,
}

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Writer { out: Vec::with_capacity(bytes) }
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.out.reverse();
        self.out
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend(bytes.iter().rev());
    }

    fn varint(&mut self, mut n: u64) {
        let start = self.out.len();
        while n >= 0x80 {
            self.out.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.out.push(n as u8);
        self.out[start..].reverse();
    }

    fn tag(&mut self, number: u16, wire: u64) {
        self.varint(u64::from(number) << 3 | wire);
    }

    pub fn varint_field(&mut self, number: u16, n: u64) {
        self.varint(n);
        self.tag(number, 0);
    }

    pub fn bytes_field(&mut self, number: u16, bytes: &[u8]) {
        self.raw(bytes);
        self.varint(bytes.len() as u64);
        self.tag(number, 2);
    }

    pub fn message_field(&mut self, number: u16, write: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        write(self);
        self.varint((self.out.len() - start) as u64);
        self.tag(number, 2);
    }
}

struct Encoder<'t> {
    table: &'t Table,
}

impl Encoder<'_> {
    fn message(&self, w: &mut Writer, id: u16, map: &Map) {
        for (number, target) in self.table.wire_of(id).iter().rev() {
            match target {
                Wire::Inlined(inner) => w.message_field(*number, |w| self.message(w, *inner, map)),
                Wire::Field(at) => {
                    let field = &self.table.fields[*at as usize];
                    match map.get(&field.name) {
                        Some(v) if !v.is_null() => self.field(w, *number, field.ty, v),
                        _ => self.absent(w, *number, field),
                    }
                }
            }
        }
    }

    fn field(&self, w: &mut Writer, number: u16, ty: Type, value: &Value) {
        match (ty, value) {
            (Type::List(e), Value::List(list)) => {
                for v in list.iter().rev() {
                    self.single(w, number, self.table.elem(e), v);
                }
            }
            (Type::Map(e), Value::Map(map)) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(k, _)| *k);
                for (k, v) in entries.into_iter().rev() {
                    w.message_field(number, |w| {
                        self.single(w, 2, self.table.elem(e), v);
                        w.bytes_field(1, k.as_bytes());
                    });
                }
            }
            _ => self.single(w, number, ty, value),
        }
    }

    fn single(&self, w: &mut Writer, number: u16, ty: Type, value: &Value) {
        match (ty, value) {
            (Type::Bool, v) => w.varint_field(number, u64::from(v.as_bool().unwrap_or(false))),
            (Type::Int32 | Type::Int64, v) => w.varint_field(number, v.as_int().unwrap_or(0) as u64),
            (Type::Float, v) => {
                let f = match v {
                    Value::Float(f) => *f,
                    Value::Int(i) => *i as f64,
                    _ => 0.0,
                };
                w.raw(&f.to_le_bytes());
                w.tag(number, 1);
            }
            (Type::String | Type::Named(_), v) => {
                w.bytes_field(number, v.as_str().unwrap_or("").as_bytes());
            }
            (Type::Bytes, v) => {
                let bytes = scalar::decode_base64(v.as_str().unwrap_or("")).unwrap_or_default();
                w.bytes_field(number, &bytes);
            }
            (Type::Any, _) => {}
            _ => w.message_field(number, |w| self.body(w, ty, value)),
        }
    }

    /// The inside of a message.
    fn body(&self, w: &mut Writer, ty: Type, value: &Value) {
        match (ty, value) {
            (Type::Struct(id), Value::Map(map)) => self.message(w, id, map),
            (Type::Struct(id), _) => self.message(w, id, &Map::new()),
            (Type::Time | Type::MicroTime, Value::Str(text)) => {
                if let Some((seconds, nanos)) = scalar::time_parts(text) {
                    let nanos = if ty == Type::MicroTime { nanos / 1000 * 1000 } else { 0 };
                    w.varint_field(2, i64::from(nanos) as u64);
                    w.varint_field(1, seconds as u64);
                }
            }
            (Type::Duration, Value::Str(text)) => {
                w.varint_field(1, scalar::parse_duration(text).unwrap_or(0) as u64);
            }
            (Type::Quantity, Value::Str(text)) => w.bytes_field(1, text.as_bytes()),
            (Type::IntOrString, v) => int_or_string(w, v),
            (Type::FieldsV1, Value::Str(text)) => w.bytes_field(1, text.as_bytes()),
            (Type::RawExtension | Type::FieldsV1 | Type::Json, v) if !v.is_null() => {
                w.bytes_field(1, &encode_plain(v));
            }
            (Type::MessageList(e), Value::List(list)) => {
                for v in list.iter().rev() {
                    self.single(w, 1, self.table.elem(e), v);
                }
            }
            (Type::SchemaOrBool(_), Value::Bool(allows)) => w.varint_field(1, u64::from(*allows)),
            (Type::SchemaOrBool(id), v) => {
                self.single(w, 2, Type::Struct(id), v);
                w.varint_field(1, 1);
            }
            (Type::SchemaOrArray(id), Value::List(list)) => {
                for v in list.iter().rev() {
                    self.single(w, 2, Type::Struct(id), v);
                }
            }
            (Type::SchemaOrStrings(_), Value::List(list)) => {
                for v in list.iter().rev() {
                    self.single(w, 2, Type::String, v);
                }
            }
            (Type::SchemaOrArray(id) | Type::SchemaOrStrings(id), v) => {
                self.single(w, 1, Type::Struct(id), v)
            }
            _ => {}
        }
    }

    /// Fields that are no pointers, lists, maps or bytes are always on the wire.
    fn absent(&self, w: &mut Writer, number: u16, field: &Field) {
        if field.is(Field::POINTER) {
            return;
        }
        let zero = match field.ty {
            Type::Bytes | Type::List(_) | Type::MessageList(_) | Type::Map(_) => return,
            Type::Quantity => Value::Str("0".into()),
            Type::Duration => Value::Str("0s".into()),
            _ => Value::Null,
        };
        self.single(w, number, field.ty, &zero);
    }
}

fn int_or_string(w: &mut Writer, value: &Value) {
    let (is_text, int, text) = match value {
        Value::Str(s) => (1, 0, s.as_ref()),
        v => (0, v.as_int().unwrap_or(0), ""),
    };
    w.bytes_field(3, text.as_bytes());
    w.varint_field(2, int as u64);
    w.varint_field(1, is_text);
}

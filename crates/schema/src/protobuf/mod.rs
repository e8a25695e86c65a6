//! Protobuf both ways, driven by the table: `k8s\0`, the envelope `runtime.Unknown`, the message.
//! It must never need generated message types, and never panic on input.
// k8s: staging/src/k8s.io/apimachinery/pkg/runtime/serializer/protobuf/protobuf.go

mod decode;
mod encode;
mod reader;

pub use decode::decode_message;
pub use encode::encode_message;

use crate::json::DecodeError;
use crate::{TypeRef, Value};
pub(crate) use encode::Writer;
use reader::{Reader, Wire};

/// What every protobuf object begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// The envelope around a message, read to learn what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: String,
    pub kind: String,
    /// The message.
    pub raw: &'a [u8],
    pub content_encoding: String,
    /// Empty means protobuf.
    pub content_type: String,
}

impl<'a> Envelope<'a> {
    /// Reads magic and envelope.
    ///
    /// # Errors
    /// When the bytes do not start with [`MAGIC`] or the envelope is broken.
    pub fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Some(body) = bytes.strip_prefix(MAGIC) else {
            return Err(DecodeError::Syntax(
                "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
                    .into(),
            ));
        };
        let mut out = Envelope::default();
        let mut reader = Reader::new(body);
        while let Some((number, wire)) = reader.next()? {
            match (number, wire) {
                (1, Wire::Bytes(meta)) => {
                    let mut reader = Reader::new(meta);
                    while let Some(field) = reader.next()? {
                        match field {
                            (1, Wire::Bytes(b)) => out.api_version = reader::text(b).into_owned(),
                            (2, Wire::Bytes(b)) => out.kind = reader::text(b).into_owned(),
                            _ => {}
                        }
                    }
                }
                (2, Wire::Bytes(raw)) => out.raw = raw,
                (3, Wire::Bytes(b)) => out.content_encoding = reader::text(b).into_owned(),
                (4, Wire::Bytes(b)) => out.content_type = reader::text(b).into_owned(),
                _ => {}
            }
        }
        Ok(out)
    }
}

/// Decodes an object with magic and envelope; kind and apiVersion come from the envelope.
/// The caller limits the size of `bytes`.
///
/// # Errors
/// When the bytes are not such an object.
pub fn decode_protobuf(bytes: &[u8], ty: TypeRef<'_>) -> Result<Value, DecodeError> {
    let envelope = Envelope::read(bytes)?;
    if !envelope.content_encoding.is_empty() {
        let message = format!("content encoding {:?} is not supported", envelope.content_encoding);
        return Err(DecodeError::Type(message));
    }
    let mut value = decode_message(envelope.raw, ty)?;
    if let Value::Map(map) = &mut value
        && ty.is_kind()
    {
        for (at, (name, text)) in
            [("kind", envelope.kind), ("apiVersion", envelope.api_version)].into_iter().enumerate()
        {
            if !text.is_empty() {
                map.remove(name);
                map.0.insert(at.min(map.len()), (name.into(), text.into()));
            }
        }
    }
    Ok(value)
}

/// Encodes an object with magic and envelope; kind and apiVersion go into the envelope.
#[must_use]
pub fn encode_protobuf(value: &Value, ty: TypeRef<'_>) -> Vec<u8> {
    wrap(value.str_at(&["apiVersion"]), value.str_at(&["kind"]), &encode_message(value, ty))
}

/// Puts magic and envelope around a message.
#[must_use]
pub fn wrap(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut w = Writer::with_capacity(message.len() + api_version.len() + kind.len() + 32);
    w.bytes_field(4, b"");
    w.bytes_field(3, b"");
    w.bytes_field(2, message);
    w.message_field(1, |w| {
        w.bytes_field(2, kind.as_bytes());
        w.bytes_field(1, api_version.as_bytes());
    });
    w.raw(MAGIC);
    w.finish()
}

/// What stands before and behind a message of so many bytes in its envelope, for one that is sent in pieces.
#[must_use]
pub fn envelope(api_version: &str, kind: &str, message_bytes: usize) -> (Vec<u8>, Vec<u8>) {
    /// The two empty fields behind the message.
    const TAIL_BYTES: usize = 4;
    let mut head = wrap(api_version, kind, b"");
    let tail = head.split_off(head.len() - TAIL_BYTES);
    // The length of no message.
    head.pop();
    put_varint(&mut head, message_bytes as u64);
    (head, tail)
}

/// The tag of a field that holds bytes and their length, which stand before them.
#[must_use]
pub fn field_head(number: u8, bytes: usize) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    put_varint(&mut out, bytes as u64);
    out
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// A `WatchEvent` message, without magic, as a protobuf watch stream carries it. `object` has its magic.
/// The caller frames it (four bytes of length, big endian).
#[must_use]
pub fn watch_event(event_type: &str, object: &[u8]) -> Vec<u8> {
    let mut w = Writer::with_capacity(object.len() + 32);
    w.message_field(2, |w| w.bytes_field(1, object));
    w.bytes_field(1, event_type.as_bytes());
    w.finish()
}

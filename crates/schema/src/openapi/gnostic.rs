//! The version 2 document as protobuf (`openapi.v2.Document`), the only form that older clients take.
//! Only what the server's own documents contain is written.
// k8s: vendor/github.com/google/gnostic-models/openapiv2/OpenAPIv2.proto

use crate::json::{decode_plain, encode_plain};
use crate::protobuf::Writer;
use crate::{Map, Value};

/// The media type of [`v2_protobuf`] in answers. Clients ask for it with an `@` in place of the first dot before
/// the version, which Go's own parser of media types refuses to read.
// k8s: kube-openapi pkg/handler handler.go
pub const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// What a member of a message is; a table of them describes the message.
#[derive(Clone, Copy)]
enum Is {
    Text,
    Flag,
    Texts,
    /// Text that JSON gives as one and protobuf as a message with a list.
    TextItem,
    Any,
    Anys,
    Message(&'static [Member]),
    /// Maps in JSON are messages with a list of name and value on the wire.
    Paths,
    /// A map of the one kind of security that there is.
    ApiKeys,
    /// One message in a message of alternatives, as number of the alternative.
    Wrapped(u16, &'static [Member]),
    Schema,
    SchemaItem,
    Schemas,
    NamedSchemas,
    Parameters,
    Responses,
    Security,
    /// All `x-` members.
    Extensions,
}

type Member = (&'static str, u16, Is);

const INFO: &[Member] = &[("title", 1, Is::Text), ("version", 2, Is::Text), ("description", 3, Is::Text)];
const API_KEY: &[Member] =
    &[("type", 1, Is::Text), ("name", 2, Is::Text), ("in", 3, Is::Text), ("description", 4, Is::Text)];
const BODY: &[Member] = &[
    ("description", 1, Is::Text),
    ("name", 2, Is::Text),
    ("in", 3, Is::Text),
    ("required", 4, Is::Flag),
    ("schema", 5, Is::Schema),
];
const QUERY: &[Member] = &[
    ("required", 1, Is::Flag),
    ("in", 2, Is::Text),
    ("description", 3, Is::Text),
    ("name", 4, Is::Text),
    ("type", 6, Is::Text),
    ("format", 7, Is::Text),
    ("uniqueItems", 20, Is::Flag),
];
const PATH: &[Member] = &[
    ("required", 1, Is::Flag),
    ("in", 2, Is::Text),
    ("description", 3, Is::Text),
    ("name", 4, Is::Text),
    ("type", 5, Is::Text),
    ("format", 6, Is::Text),
    ("uniqueItems", 19, Is::Flag),
];
const RESPONSE: &[Member] = &[("description", 1, Is::Text), ("schema", 2, Is::Wrapped(1, SCHEMA))];
const OPERATION: &[Member] = &[
    ("tags", 1, Is::Texts),
    ("description", 3, Is::Text),
    ("operationId", 5, Is::Text),
    ("produces", 6, Is::Texts),
    ("consumes", 7, Is::Texts),
    ("parameters", 8, Is::Parameters),
    ("responses", 9, Is::Responses),
    ("schemes", 10, Is::Texts),
    ("", 13, Is::Extensions),
];
const PATH_ITEM: &[Member] = &[
    ("get", 2, Is::Message(OPERATION)),
    ("put", 3, Is::Message(OPERATION)),
    ("post", 4, Is::Message(OPERATION)),
    ("delete", 5, Is::Message(OPERATION)),
    ("patch", 8, Is::Message(OPERATION)),
    ("parameters", 9, Is::Parameters),
];
const SCHEMA: &[Member] = &[
    ("$ref", 1, Is::Text),
    ("format", 2, Is::Text),
    ("title", 3, Is::Text),
    ("description", 4, Is::Text),
    ("default", 5, Is::Any),
    ("required", 19, Is::Texts),
    ("enum", 20, Is::Anys),
    ("additionalProperties", 21, Is::SchemaItem),
    ("type", 22, Is::TextItem),
    ("items", 23, Is::Schemas),
    ("properties", 25, Is::NamedSchemas),
    ("", 31, Is::Extensions),
];
const DOCUMENT: &[Member] = &[
    ("swagger", 1, Is::Text),
    ("info", 2, Is::Message(INFO)),
    ("paths", 8, Is::Paths),
    ("definitions", 9, Is::NamedSchemas),
    ("security", 12, Is::Security),
    ("securityDefinitions", 13, Is::ApiKeys),
];

/// The protobuf form of a version 2 document that [`super::v2`] wrote; `None` when it is not JSON.
#[must_use]
pub fn v2_protobuf(document: &[u8]) -> Option<Vec<u8>> {
    let document = decode_plain(document).ok()?;
    let mut w = Writer::with_capacity(1 << 20);
    message(&mut w, document.as_map()?, DOCUMENT);
    Some(w.finish())
}

fn message(w: &mut Writer, map: &Map, members: &'static [Member]) {
    for (name, number, is) in members.iter().rev() {
        if matches!(is, Is::Extensions) {
            extensions(w, *number, map);
        }
        if let Some(value) = map.get(name) {
            member(w, *number, *is, value);
        }
    }
}

fn extensions(w: &mut Writer, number: u16, map: &Map) {
    for (name, value) in map.0.iter().rev().filter(|(k, _)| k.starts_with("x-")) {
        w.message_field(number, |w| {
            w.message_field(2, |w| w.bytes_field(2, &encode_plain(value)));
            w.bytes_field(1, name.as_bytes());
        });
    }
}

fn member(w: &mut Writer, number: u16, is: Is, value: &Value) {
    match (is, value) {
        (Is::Text, Value::Str(s)) => w.bytes_field(number, s.as_bytes()),
        (Is::Flag, Value::Bool(true)) => w.varint_field(number, 1),
        (Is::Texts, v) => texts(w, number, v),
        (Is::TextItem, Value::Str(s)) => w.message_field(number, |w| w.bytes_field(1, s.as_bytes())),
        (Is::Any, v) => w.message_field(number, |w| w.bytes_field(2, &encode_plain(v))),
        (Is::Anys, Value::List(list)) => {
            for v in list.iter().rev() {
                w.message_field(number, |w| w.bytes_field(2, &encode_plain(v)));
            }
        }
        (Is::Message(members), Value::Map(m)) => w.message_field(number, |w| message(w, m, members)),
        (Is::Wrapped(inner, members), Value::Map(m)) => {
            w.message_field(number, |w| w.message_field(inner, |w| message(w, m, members)));
        }
        (Is::Schema, Value::Map(m)) => w.message_field(number, |w| message(w, m, SCHEMA)),
        (Is::SchemaItem | Is::Schemas, Value::Map(m)) => {
            w.message_field(number, |w| w.message_field(1, |w| message(w, m, SCHEMA)));
        }
        (Is::SchemaItem, Value::Bool(b)) => {
            w.message_field(number, |w| w.varint_field(2, u64::from(*b)));
        }
        (Is::NamedSchemas, Value::Map(m)) => named(w, number, 1, m, |w, v| message(w, v, SCHEMA)),
        (Is::Paths, Value::Map(m)) => {
            named(w, number, 2, m, |w, v| message(w, v, PATH_ITEM));
        }
        (Is::ApiKeys, Value::Map(m)) => {
            named(w, number, 1, m, |w, v| w.message_field(2, |w| message(w, v, API_KEY)));
        }
        (Is::Responses, Value::Map(m)) => {
            named(w, number, 1, m, |w, v| w.message_field(1, |w| message(w, v, RESPONSE)));
        }
        (Is::Parameters, Value::List(list)) => {
            for p in list.iter().rev().filter_map(Value::as_map) {
                w.message_field(number, |w| w.message_field(1, |w| parameter(w, p)));
            }
        }
        (Is::Security, Value::List(list)) => {
            for m in list.iter().rev().filter_map(Value::as_map) {
                w.message_field(number, |w| {
                    for (name, scopes) in m.0.iter().rev() {
                        w.message_field(1, |w| {
                            w.message_field(2, |w| texts(w, 1, scopes));
                            w.bytes_field(1, name.as_bytes());
                        });
                    }
                });
            }
        }
        _ => {}
    }
}

fn texts(w: &mut Writer, number: u16, value: &Value) {
    for s in value.as_list().unwrap_or(&[]).iter().rev().filter_map(Value::as_str) {
        w.bytes_field(number, s.as_bytes());
    }
}

/// A message whose field `entry` repeats name and value.
fn named(w: &mut Writer, number: u16, entry: u16, map: &Map, write: impl Fn(&mut Writer, &Map)) {
    w.message_field(number, |w| {
        for (name, value) in map.0.iter().rev() {
            let Value::Map(value) = value else { continue };
            w.message_field(entry, |w| {
                w.message_field(2, |w| write(w, value));
                w.bytes_field(1, name.as_bytes());
            });
        }
    });
}

fn parameter(w: &mut Writer, map: &Map) {
    match map.get("in").and_then(Value::as_str) {
        Some("body") => w.message_field(1, |w| message(w, map, BODY)),
        Some("path") => w.message_field(2, |w| w.message_field(4, |w| message(w, map, PATH))),
        _ => w.message_field(2, |w| w.message_field(3, |w| message(w, map, QUERY))),
    }
}

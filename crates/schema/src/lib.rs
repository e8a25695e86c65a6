//! Compact value, field table, codecs (JSON, YAML, protobuf), unknown-field reporting, patches, OpenAPI:
//! one piece of code over value + schema, for built-in kinds and custom resources alike.
//! It must never do I/O and never know a kind by name outside its generated table.

mod defaults;
mod json;
pub mod jsonpath;
pub mod metadata;
pub mod openapi;
pub mod patch;
pub mod protobuf;
mod scalar;
pub mod structural;
pub mod table;
pub mod value;
mod yaml;

pub use defaults::apply_defaults;
pub use json::{
    DecodeError, Decoded, FieldValidation, MAX_DEPTH, decode_json, decode_plain, decode_plain_telling,
    encode_json, encode_json_into, encode_plain, encode_sorted_into, write_json_string,
};
pub use protobuf::{decode_protobuf, encode_protobuf};
pub use table::{FieldRef, HeldType, ListType, Shape, Type, TypeRef, type_named, type_of};
pub use value::{Key, Map, Value};
pub use yaml::{decode_yaml, decode_yaml_plain, encode_yaml, encode_yaml_plain};

//! JSON both ways: straight into the value and out of it, driven by the type.
//! It must never build an intermediate tree, and never panic on input.

mod decode;
mod encode;
mod lexer;
mod plain;
mod typed;

pub use decode::{DecodeError, Decoded, FieldValidation, MAX_DEPTH, decode_json};
pub(crate) use encode::format_float;
pub use encode::{encode_json, encode_json_into, encode_plain, encode_sorted_into, write_json_string};
pub(crate) use plain::compact_text;
pub use plain::{decode_plain, decode_plain_telling};
pub(crate) use typed::zero;

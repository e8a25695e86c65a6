//! Compact value, field table, codecs (JSON, YAML, protobuf), unknown-field reporting, patches, OpenAPI:
//! one piece of code over value + schema, for built-in kinds and custom resources alike.
//! It must never do I/O and never know a kind by name outside its generated table.

pub mod value;

pub use value::{Key, Map, Value};

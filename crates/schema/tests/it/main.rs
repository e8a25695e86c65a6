//! Integration tests of the schema.

mod decode;
mod fixtures;
mod golden;
mod openapi;
mod properties;

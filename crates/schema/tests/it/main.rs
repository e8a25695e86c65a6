//! Integration tests of the schema.

mod decode;
mod descriptions;
mod fixtures;
mod golden;
mod openapi;
mod properties;
mod structural;

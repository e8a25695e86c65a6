//! Integration tests of the schema.

mod fixtures;
mod golden;
mod openapi;

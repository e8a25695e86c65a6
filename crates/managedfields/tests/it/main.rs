//! Cases of managed fields over built-in types, upstream's published merge cases, and its schema of list types.

mod builtin;
mod harness;
mod merge_cases;
mod merge_schema;

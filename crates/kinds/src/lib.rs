//! The registry of built-in kinds. Everything the server does with a kind follows from one declaration
//! here and from the schema. It must never do I/O.

pub mod kind;

pub use kind::{Cell, Column, Context, Kind, Operation, Scope, Strategy, Subresource};

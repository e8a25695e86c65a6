//! Judges of the crate: facts of upstream's own implementation, and properties that hold whatever the input.

mod bounds;
mod facts;

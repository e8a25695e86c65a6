//! Container logs: the format, reading with options and following, rotation.

pub mod parse;

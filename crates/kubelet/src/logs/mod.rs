//! Container logs: the format, reading with options and following, rotation.

pub mod options;
pub mod pace;
pub mod parse;
pub mod read;
pub mod rotate;

//! Which file of a crate imports which, and the rules over that: no circles, and no import upwards between the
//! rooms of the API server. It must never guess: what is not a path through modules of the crate is no import.

mod graph;
mod lexer;
mod rules;

pub use rules::broken;

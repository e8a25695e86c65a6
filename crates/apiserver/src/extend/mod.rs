//! Kinds that are defined while the server runs: whether their names may be used, and what they are made of. It must
//! never read a store or write an object: the server does, by what is decided here.

pub mod conditions;
pub mod defined;
pub mod names;

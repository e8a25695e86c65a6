//! The controllers, each a pure decider in a directory of its own, at the path of its kind. None of them does
//! I/O, knows a clock or keeps state: `reconcile::Engine` asks, they answer with a plan.

#![forbid(unsafe_code)]

pub mod apps;
pub mod core;
pub mod owners;
pub mod safe;

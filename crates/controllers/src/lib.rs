//! The controllers, each a pure decider in a directory of its own, at the path of its kind. None of them does
//! I/O, knows a clock or keeps state: `reconcile::Engine` asks, they answer with a plan.
//!
//! [`all`] is what a controller manager runs.

#![forbid(unsafe_code)]

mod all;
pub mod apps;
pub mod batch;
pub mod bootstrap;
pub mod certificates;
pub mod core;
pub mod discovery;
pub mod gc;
pub mod owners;
pub mod policy;
pub mod rbac;
pub mod safe;
pub mod shared;
#[cfg(test)]
mod testing;

pub use all::{Config, Registration, all};

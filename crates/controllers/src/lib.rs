//! The controllers, each a pure decider in a directory of its own, at the path of its kind. None of them does
//! I/O or knows a clock, and what one keeps between decisions is never more than when it saw something first: `reconcile::Engine` asks, they answer with a plan.
//!
//! [`all`] is what a controller manager runs.

#![forbid(unsafe_code)]

mod all;
pub mod apps;
pub mod certificates;
pub mod core;
pub mod discovery;
pub mod gc;
mod memory;
pub mod owners;
pub mod rbac;
pub mod safe;

pub use all::{Config, Registration, all};

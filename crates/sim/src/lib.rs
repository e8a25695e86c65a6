//! The simulation: the real API server over the memory store, the real controllers and the real scheduler,
//! with hollow nodes and a user, on virtual time under a seed. Requests and answers get lost, watches fall
//! behind and break off, processes and machines crash. The rules of [`truth`] are checked at every change of
//! the store, and `judge` holds every decision on pods to the state that it was made on; in the end, with the
//! faults gone, everything must come to rest where it should be.
//!
//! Nothing here reads a clock, sleeps or draws chance from anywhere but the seed: a seed is a run, to the
//! byte. To see one: `SIM_SEED=17 SIM_TRACE=1 cargo nextest run -p sim one_seed --no-capture`.

#![forbid(unsafe_code)]

mod faults;
mod feed;
mod judge;
mod objects;
mod outside;
mod process;
mod rng;
mod run;
mod timer;
pub mod truth;
mod world;

pub use run::{Mutation, Options, Outcome, run};

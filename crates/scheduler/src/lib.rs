//! The scheduler: which node a pod goes to. Queue, snapshot, and one file per plugin at upstream's extension
//! points. Pure and synchronous: events go in, decisions come out; the caller binds, deletes victims and
//! reports back. It must never read a clock, call the API, or draw randomness but from its seed.
//!
//! What equal pods share is in `sheets` (what their needs say about each node) and `ledgers` (what is around them).
//! Both are kept up to date exactly, so that a decision is the same without them.

mod columns;
pub mod cycle;
pub mod engine;
pub mod framework;
mod ledgers;
pub mod model;
pub mod plugins;
pub mod pod;
pub mod preempt;
pub mod queue;
pub mod resources;
mod sheets;
pub mod snapshot;
pub mod writes;

pub use engine::{Decision, Engine, Preemption, Refusal};
pub use model::{Budget, Namespace, Node, Pod};
pub use pod::{PodInfo, Told};

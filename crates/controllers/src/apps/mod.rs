//! Apps group: the projections that its controllers share, and the controllers.

pub mod deployment;
pub mod replicaset;
pub mod types;

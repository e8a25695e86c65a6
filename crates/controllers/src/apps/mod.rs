//! Apps group: the projections that its controllers share, and the controllers.

pub mod daemonset;
pub mod deployment;
pub mod replicaset;
pub mod statefulset;
pub mod types;

//! Cluster DNS: what names inside the cluster resolve to, as the Kubernetes DNS specification (1.1.0) says,
//! and the answer to one query message. Pure: it must never open a socket. Names outside the cluster
//! domain are for the caller to forward.

pub mod message;
pub mod model;
pub mod zone;

pub use message::{Reply, Unfinished, respond};
pub use zone::{Answer, Record, Zone};

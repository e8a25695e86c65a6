//! The node agent: pod workers, probes, volumes, status.
//!
//! One worker per pod is a pure state machine ([`worker`]); the async shell ([`run`]) carries its effects to
//! the runtime, the volumes and the API server and brings the answers back. Everything a restart needs is
//! rediscovered from the runtime; nothing of a pod's life is kept in memory alone. It must never look into
//! the store or know a controller.

mod admit;
mod agent;
pub mod cgroup;
pub mod config;
pub mod error;
pub mod logs;
mod node;
pub mod objects;
mod run;
mod server;
pub mod spec;
pub mod status;
pub mod volumes;
pub mod worker;

pub use agent::run;
pub use config::Config;
pub use error::{Error, Result};

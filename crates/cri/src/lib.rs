//! The node's road to its container runtime: the CRI v1 client behind the [`Runtime`] trait.
//!
//! Invariants: nothing here knows a Kubernetes object or the API server; callers hand over CRI
//! messages ([`v1`]) and get CRI messages back. No call waits for ever ([`Timeouts`]).

mod client;
pub mod containerd;
mod error;
pub mod facts;
pub mod health;
pub mod image;
mod runtime;
mod terminal;

pub use async_trait::async_trait;
pub use client::{CriClient, Timeouts};
pub use error::{Error, Result};
pub use runtime::{EventStream, Runtime};
pub use terminal::{Terminal, TerminalCommand, TerminalControl};

/// The messages of `runtime.v1`, and its gRPC clients (and servers with feature `server`).
#[allow(clippy::all, clippy::too_many_lines, clippy::unwrap_used, missing_docs)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}

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

/// The messages of `runtime.v1`, and its gRPC clients (and servers with feature `server`); made from
/// `proto/runtime.proto` by `cargo run -p xtask --features protos -- protos`.
#[allow(clippy::all, clippy::too_many_lines, clippy::unwrap_used, missing_docs)]
#[rustfmt::skip]
#[path = "generated/runtime_v1.rs"]
pub mod v1;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use sha2::{Digest as _, Sha256};

    #[test]
    fn the_messages_are_those_of_the_protocol_file() {
        let mut sum = String::new();
        for byte in Sha256::digest(include_bytes!("../proto/runtime.proto")) {
            write!(sum, "{byte:02x}").unwrap();
        }
        let made = include_str!("generated/runtime_v1.rs").lines().next().unwrap_or_default();
        assert!(made.ends_with(&sum), "run: cargo run -p xtask --features protos -- protos ({made})");
    }
}

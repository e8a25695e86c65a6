//! The agent as a whole: over a runtime and an API server in memory.

mod api;
mod containerd;
mod server;

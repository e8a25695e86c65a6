//! The controllers together against a small API server in memory, on virtual time, under seeds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod budgets;
mod cluster;
mod daemons;
mod rollout;
mod server;
mod services;
mod teardown;

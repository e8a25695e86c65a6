//! End-to-end tests: the real binary, a real container runtime, stock kubectl and kube-rs.
//!
//! Each test has a cluster of its own in a network namespace; at its end it is checked that `corten down --purge`
//! leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod apart;
mod bad_api;
mod bad_command;
mod bad_node;
mod clients;
mod first_minutes;
mod foreign;
mod join;
mod kill;
mod named;
mod parts;
mod raw;
mod serving;
mod session;
mod transcript;

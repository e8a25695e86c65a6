//! The server over the in-memory store, asked as clients ask it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod access;
mod admission;
mod bad_input;
mod crud;
mod definitions;
mod deletion;
mod discovery;
mod escalation;
mod every_kind;
mod eviction;
mod harness;
mod letting_in;
mod nodes;
mod pki;
mod pod_certificates;
mod pods;
mod proxy;
mod selection;
mod services;
mod slow_store;
mod status;
mod table;
mod timed;
mod tokens;

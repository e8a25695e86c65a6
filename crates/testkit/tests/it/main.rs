//! The node's parts against the real containerd, runc, CNI plugins and registry. Needs root.

// The helpers here are tests too; the lint's own exception knows only functions marked as such.
#![allow(clippy::unwrap_used)]

mod daemon;
mod pods;
mod support;

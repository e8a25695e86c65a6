//! Controllers of policy.

pub mod disruption;

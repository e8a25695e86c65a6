//! Discovery group.

pub mod endpointslice;
pub mod endpointslicemirroring;

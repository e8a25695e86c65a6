//! Discovery group.

pub mod endpointslice;

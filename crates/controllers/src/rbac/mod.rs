//! RBAC group.

pub mod aggregation;

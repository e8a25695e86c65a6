//! Authorization: pure questions over indexes kept from the store's events.

mod attributes;
pub mod coverage;
pub mod node;
pub mod policy;
pub mod rbac;

pub use attributes::{Attributes, Decision, What};

//! Authorization: pure questions over indexes kept from the store's events.

pub mod coverage;
mod index;
pub mod node;
pub mod policy;
pub mod rbac;
mod union;

pub use index::{AuthIndex, Node, Rbac};
pub use union::{AlwaysAllow, Masters, Named, Union};

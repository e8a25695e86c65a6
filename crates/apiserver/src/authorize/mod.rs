//! Authorization: pure questions over indexes kept from the store's events.

mod chain;
pub mod coverage;
mod index;
pub mod node;
pub mod policy;
pub mod rbac;

pub use chain::Chain;
pub use index::AuthIndex;

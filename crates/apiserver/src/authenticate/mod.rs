//! Who asks: certificate, service-account token, bootstrap token, in-process identity, or nobody. Each way to
//! show who one is stands in a file of its own; the server puts them in a list.

pub mod anonymous;
pub mod bootstrap;
mod bound;
pub mod certificate;
pub mod impersonate;
pub mod internal;
pub mod legacy;
pub mod service_account;
pub mod token;
mod union;

pub use union::{Authenticator, Union};

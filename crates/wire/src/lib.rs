//! Request and Response to HTTP and back; TLS; the only place that knows paths.

pub mod escape;
pub mod get;
mod net;
pub mod path;
pub mod pki;
pub mod server;
pub mod stream;
pub mod tls;
pub mod transport;
pub mod tunnel;

pub use server::serve;

//! The server as a client sees it, over loopback.

mod harness;
mod kubectl;
mod pki;
mod server;
mod stream;
mod tls;
mod tunnel;

//! The server as a client sees it, over loopback.

mod harness;
mod kubectl;
mod limits;
mod pki;
mod push;
mod server;
mod stream;
mod tls;
mod tunnel;

//! The service proxy's decisions: Services and EndpointSlices in, a packet ruleset out, and the smallest
//! script that brings the applied ruleset to the wanted one. Pure: it must never run a command or open a
//! socket. IPv4 only so far; a Service's IPv6 addresses are passed over.

pub mod conntrack;
pub mod health;
pub mod kernel;
pub mod model;
pub mod nftables;
pub mod range;
pub mod ruleset;
pub mod services;

pub use model::{EndpointSlice, Service};
pub use nftables::{Options, rules};
pub use ruleset::{Ruleset, diff, teardown};
pub use services::{Endpoint, Place, Protocol, ServicePort, service_ports};

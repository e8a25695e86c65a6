//! Reads and writes for deciders: reflectors and shared informers, the driver that runs `reconcile::Engine`s
//! over a `client::Client`, leader election, and the event recorder. It must never decide anything about
//! objects itself, and never know HTTP or a store.
//!
//! - [`reflect()`], [`reflect_raw`]: follow one resource (for the scheduler, the kubelet, the proxy, dns).
//! - [`Informers`], [`run`]: run controllers that share caches.
//! - [`Port`], [`Ports`]: what controllers may ask outside the API.
//! - [`Recorder`]: Event objects, aggregated and limited.
//! - [`elect`]: run something only while holding a Lease.
//! - [`delegate`]: authentication and authorization for the servers of components.

#![forbid(unsafe_code)]

mod context;
mod correlate;
pub mod delegate;
mod discover;
mod driver;
mod execute;
mod informers;
mod leader;
mod port;
mod recorder;
mod reflect;
mod reflector;

pub use context::Context;
pub use discover::discover;
pub use driver::{Controllers, run};
pub use execute::{Executor, execute};
pub use informers::Informers;
pub use leader::{Election, elect};
pub use port::{Port, Ports};
pub use recorder::Recorder;
pub use reflect::{ReflectEvent, reflect, reflect_raw};
pub use reflector::{Feed, FeedHandle, RawEvent, Selection};
pub use tokio_util::sync::CancellationToken;

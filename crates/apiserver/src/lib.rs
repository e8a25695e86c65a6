//! The API server. A request passes, in this order: [`authenticate`] → [`flow`] → [`authorize`] → [`verbs`]
//! (decode by schema, [`admission`], the kind's strategy, the store) or [`discovery`]. There is one file per
//! layer and per verb, and no handler of a kind. Watches and lists are served from the watch cache as shared
//! bytes. It must never know HTTP paths of resources (wire does) or a database (store does), and the path of a
//! request must run without a runtime.

pub mod authenticate;
pub mod authorize;

mod admission;
mod bootstrap;
mod codec;
mod config;
mod content;
mod defaults;
mod discovery;
mod expire;
pub mod flow;
mod generation;
mod index;
mod metrics;
mod object;
mod options;
mod peek;
mod process;
mod registry;
mod selector;
mod server;
mod service;
mod subresource;
mod verbs;
mod virtuals;

pub use authenticate::token::Issuer;
pub use config::{Authorization, Config, NoTimer, Timer};
pub use server::{LIMIT_BODY_BYTES, Server};

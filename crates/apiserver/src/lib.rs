//! The API server. A request passes, in this order: [`authenticate`] → [`authorize`] → [`flow`] → [`verbs`]
//! (decode by schema, [`admission`], the kind's strategy, the store) or [`discovery`]. There is one file per
//! layer and per verb, and no handler of a kind. Watches and lists are served from the watch cache as shared
//! bytes. It must never know HTTP paths of resources (wire does) or a database (store does), and the path of a
//! request must run without a runtime.
//!
//! The rooms stand in the order of their layers: each imports only from those above it in this file.

mod codec;
mod metrics;

mod request;

mod registry;

mod storage;

mod content;

mod authenticate;

mod authorize;

mod flow;

mod audit;

mod admission;

mod verbs;

mod subresource;

mod virtuals;

mod extend;

mod discovery;

mod server;

pub use admission::Chosen as AdmissionPlugins;
pub use authenticate::legacy::sign as sign_legacy_token;
pub use authenticate::token::Issuer;
pub use server::{Authorization, Config, LIMIT_BODY_BYTES, Server};
pub use storage::{NoTimer, Timer};

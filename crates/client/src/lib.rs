//! The only road between parts. A part holds an `Arc<dyn Client>` and cannot tell whether the server is in
//! this process (`Local`) or behind HTTPS (`Remote`). It must never look into the store.

pub mod api;
pub mod kubeconfig;
pub mod local;
pub mod remote;
pub mod suite;

pub use api::{Api, DeleteOptions, ListParams, ListResult, Patch, WatchEvent, WatchType};
pub use kubeconfig::Kubeconfig;
pub use local::Local;
pub use remote::{Endpoint, Remote, Token};

use meta::{BoxFuture, Request, Response, Status};

/// Sends requests as one identity.
pub trait Client: Send + Sync + 'static {
    /// The response, or the Status that the server (or the way there) answered with. A transport failure is a
    /// Status with code 503 (nothing was sent) or 504 (it may have happened).
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Status>>;
}

//! The one form of response, and who gives it.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;

use crate::{Admission, Request, Status};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A body that arrives in pieces. An error ends it: the connection is cut, since the status line is out.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What a response carries.
pub enum Body {
    Full(Bytes),
    /// Known pieces, sent in order; lists are these: shared slices, never assembled.
    Chunks(Vec<Bytes>),
    /// Watches, logs.
    Stream(BodyStream),
    /// The transport must carry this request on to another server (kubelet, aggregated API) and give its
    /// answer back, an upgraded connection included.
    Tunnel(Box<Tunnel>),
}

/// Where a request is carried on to.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// `https` or `http`.
    pub scheme: &'static str,
    pub host: String,
    pub port: u16,
    /// Path and query, already escaped.
    pub path_and_query: String,
    /// Headers to add.
    pub headers: Vec<(String, String)>,
    /// Present the apiserver's kubelet client certificate.
    pub client_certificate: bool,
    /// Go only to addresses of other machines and pods, whatever a name stands for: not to loopback, link-local,
    /// multicast or unspecified ones.
    pub global_only: bool,
}

/// One response.
pub struct Response {
    /// HTTP status code.
    pub code: u16,
    pub content_type: Cow<'static, str>,
    /// Further headers (lower-case names).
    pub headers: Vec<(&'static str, String)>,
    /// Sent as `Warning: 299 - "..."` headers.
    pub warnings: Vec<String>,
    pub body: Body,
}

impl Response {
    /// A JSON body.
    #[must_use]
    pub fn json(code: u16, body: impl Into<Bytes>) -> Self {
        Response::new(code, "application/json", Body::Full(body.into()))
    }

    /// A plain-text body.
    #[must_use]
    pub fn text(code: u16, body: impl Into<Bytes>) -> Self {
        Response::new(code, "text/plain; charset=utf-8", Body::Full(body.into()))
    }

    /// Without headers or warnings.
    #[must_use]
    pub fn new(code: u16, content_type: &'static str, body: Body) -> Self {
        Response {
            code,
            content_type: Cow::Borrowed(content_type),
            headers: Vec::new(),
            warnings: Vec::new(),
            body,
        }
    }
}

impl From<Status> for Response {
    fn from(status: Status) -> Self {
        let mut response = Response::json(status.code, status.to_json());
        if let Some(s) = status.details.as_ref().and_then(|d| d.retry_after_seconds) {
            response.headers.push(("retry-after", s.to_string()));
        }
        response
    }
}

/// Answers requests: the API server, or a layer of it.
pub trait Handler: Send + Sync + 'static {
    /// Always answers; an error is a response made of a `Status`.
    fn handle(&self, request: Request) -> BoxFuture<'_, Response>;

    /// Looks at a request before its body is read, so that nobody's body is kept who may not ask. What it gives
    /// goes with the request ([`Request::admission`]), so that `handle` need not look again. The default leaves
    /// everything to `handle`.
    ///
    /// # Errors
    /// The answer to a request that is refused.
    fn admit<'a>(&'a self, _request: &'a Request) -> BoxFuture<'a, Result<Option<Arc<Admission>>, Response>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

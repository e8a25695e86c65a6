//! The one form of request. `wire` makes it from HTTP, `client` makes it directly.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Admission, Gvr, User};

/// What is asked of a resource (the API verbs of authorization), or the HTTP method of a path that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    /// exec, attach, portforward, proxy: the HTTP method is in `Request::method`.
    Connect,
    /// A method this server does not know for anything; always answered 405.
    Unknown,
}

impl Verb {
    /// Lower-case name, as authorization and audit spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Connect => "connect",
            Verb::Unknown => "unknown",
        }
    }

    /// Whether it changes something.
    #[must_use]
    pub const fn is_write(self) -> bool {
        !matches!(self, Verb::Get | Verb::List | Verb::Watch)
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An API resource, or a collection when `name` is empty.
    Resource {
        gvr: Gvr,
        /// Empty: cluster scoped, or all namespaces.
        namespace: String,
        /// Empty: the collection.
        name: String,
        /// Empty: the object itself. `status`, `scale`, `log`, ...
        subresource: String,
        /// What follows the subresource: `nodes/n/proxy/<subpath>`; empty otherwise, without leading slash.
        subpath: String,
    },
    /// Anything else: `/healthz`, `/apis/apps/v1`, `/openapi/v3/...`. Starts with a slash, has no query.
    Path(String),
}

/// Who says so. Wire carries what it verified of the transport; the apiserver authenticates.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nothing was presented.
    #[default]
    None,
    /// A client certificate (DER) whose chain wire has verified against the client CA.
    Certificate(Bytes),
    /// A bearer token, not verified.
    Bearer(String),
    /// A component in this process, already identified (`Client::Local`).
    Internal(User),
}

/// Decoded query parameters in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// The first value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All values of `key`.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Appends a parameter.
    pub fn push(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((key.to_owned(), value.into()));
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    pub verb: Verb,
    pub target: Target,
    /// HTTP method in upper case; what `Verb` was made from.
    pub method: String,
    pub query: Query,
    /// The Accept header, empty when absent.
    pub accept: String,
    /// The Content-Type header, empty when absent.
    pub content_type: String,
    pub user_agent: String,
    /// Other headers the server looks at (lower-case names): `impersonate-*`, `upgrade`, `if-none-match`, ...
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub credentials: Credentials,
    /// What [`crate::Handler::admit`] has made of it; without it the handler does that first.
    pub admission: Option<Arc<Admission>>,
    /// Peer address text, empty for an in-process request.
    pub remote_addr: String,
}

impl Request {
    /// A request with empty query, headers and body.
    #[must_use]
    pub fn new(verb: Verb, target: Target) -> Self {
        Request {
            verb,
            target,
            method: method_of(verb).to_owned(),
            query: Query::default(),
            accept: String::new(),
            content_type: String::new(),
            user_agent: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            credentials: Credentials::None,
            admission: None,
            remote_addr: String::new(),
        }
    }

    /// The first header of that lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

fn method_of(verb: Verb) -> &'static str {
    match verb {
        Verb::Get | Verb::List | Verb::Watch | Verb::Connect | Verb::Unknown => "GET",
        Verb::Create => "POST",
        Verb::Update => "PUT",
        Verb::Patch => "PATCH",
        Verb::Delete | Verb::DeleteCollection => "DELETE",
    }
}

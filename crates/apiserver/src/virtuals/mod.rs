//! Kinds that are nowhere stored: reviews, bindings, component statuses. The answer is computed.

use kinds::Kind;
use meta::{Request, Response, Status, User};

use crate::server::Server;

/// Answers a request for a kind that is computed.
pub(crate) async fn answer(
    _server: &Server,
    request: &Request,
    _user: &User,
    kind: &'static Kind,
    _namespace: &str,
) -> Result<Response, Status> {
    Err(Status::method_not_supported(&kind.gvr(), request.verb.as_str()))
}

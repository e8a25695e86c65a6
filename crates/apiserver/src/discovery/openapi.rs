//! `/openapi/v2` and `/openapi/v3`, from the schema's field table.

use meta::{Request, Response, Status};

use crate::server::Server;

/// Answers a request for an OpenAPI document.
pub(crate) fn answer(_server: &Server, _request: &Request, _path: &str) -> Result<Response, Status> {
    Err(Status::unknown_resource())
}

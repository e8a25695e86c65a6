//! get: one object, as the cached bytes.

use std::sync::Arc;

use meta::{Response, Status};
use watchcache::Entry;

use crate::content;
use crate::options::{self, Consistency};
use crate::server::{Call, Server};

/// Answers a get.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let consistency = options::get_consistency(&call.request.query)?;
    wait(call.server, consistency).await?;
    let entry = find(call)?;
    content::object(call, &accepted, 200, entry.object(), Vec::new())
}

/// The cached object that the call names.
pub(crate) fn find(call: &Call<'_>) -> Result<Arc<Entry>, Status> {
    let r = &call.resource;
    r.cache.get(&r.key(call.namespace, call.name)).ok_or_else(|| Status::not_found(&r.gvr, call.name))
}

/// Brings the cache to what a read asks for. A version that has not happened is refused, not waited for,
/// where this process is the only writer.
pub(crate) async fn wait(server: &Server, consistency: Consistency) -> Result<(), Status> {
    let (Consistency::NotOlderThan(wanted) | Consistency::Exact(wanted)) = consistency else {
        if consistency == Consistency::Newest {
            server.cache.wait_current().await.map_err(|e| Status::internal(e.to_string()))?;
        }
        return Ok(());
    };
    if wanted > server.cache.revision() {
        let current = server.cache.wait_current().await.map_err(|e| Status::internal(e.to_string()))?;
        if wanted > current {
            return Err(too_large(wanted, current));
        }
    }
    Ok(())
}

/// 504 for a resource version that has not happened.
// k8s: staging/src/k8s.io/apiserver/pkg/storage/errors.go NewTooLargeResourceVersionError
pub(crate) fn too_large(wanted: u64, current: u64) -> Status {
    let mut s = Status::timeout(format!("Too large resource version: {wanted}, current: {current}"));
    s.details = Some(meta::StatusDetails {
        retry_after_seconds: Some(1),
        causes: vec![meta::StatusCause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            ..meta::StatusCause::default()
        }],
        ..meta::StatusDetails::default()
    });
    s
}

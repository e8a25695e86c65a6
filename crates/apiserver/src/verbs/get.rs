//! get: one object, as the cached bytes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
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

/// How long a read waits for a version that has not happened yet.
// k8s: staging/src/k8s.io/apiserver/pkg/storage/cacher/watch_cache.go blockTimeout
const BLOCK: Duration = Duration::from_secs(3);

/// Brings the cache to what a read asks for. A version that does not happen in time is refused.
pub(crate) async fn wait(server: &Server, consistency: Consistency) -> Result<(), Status> {
    let (Consistency::NotOlderThan(wanted) | Consistency::Exact(wanted)) = consistency else {
        if consistency == Consistency::Newest {
            server.cache.wait_current().await.map_err(|e| Status::internal(e.to_string()))?;
        }
        return Ok(());
    };
    if wanted > server.cache.revision() {
        let happens = pin!(server.cache.wait_until(wanted));
        if let Either::Right(_) = select(happens, server.config.timer.sleep(BLOCK)).await {
            return Err(too_large(wanted, server.cache.revision()));
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

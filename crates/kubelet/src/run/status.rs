//! Writing pod statuses to the API.

use std::time::Duration;

use client::{Api, DeleteOptions, Patch};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use meta::Gvr;

use super::Shared;
use crate::spec::PodExt;
use crate::status::patch;

const PODS: Gvr = Gvr::new("", "v1", "pods");
/// Between tries while the API server is away.
const RETRY: Duration = Duration::from_secs(1);

/// Writes one status; false when it should be tried again, after a pause.
pub(super) async fn write(shared: &Shared, pod: &Pod, status: &PodStatus) -> bool {
    match once(shared, pod, status).await {
        Ok(()) => true,
        // Gone, replaced by another pod of that name, or refused for good.
        Err(s) if s.code < 500 && s.code != 429 => {
            if s.code != 404 && s.code != 409 {
                tracing::warn!(pod = %pod.text(), "status refused: {s}");
            }
            true
        }
        Err(s) => {
            tracing::debug!(pod = %pod.text(), "status not written: {s}");
            shared.ctx.sleep(RETRY).await;
            false
        }
    }
}

async fn once(shared: &Shared, pod: &Pod, status: &PodStatus) -> Result<(), meta::Status> {
    let body = patch::body(pod, status).map_err(|e| meta::Status::internal(e.to_string()))?;
    let api = Api::new(shared.ctx.client.as_ref(), PODS, pod.ns());
    api.patch(pod.nm(), "status", Patch::Strategic(body)).await.map(|_| ())
}

/// Writes the final status, then deletes the object for good. True when it is gone.
pub(super) async fn finish(shared: &Shared, pod: &Pod, status: &PodStatus) -> Result<bool, String> {
    match once(shared, pod, status).await {
        Ok(()) => {}
        Err(s) if s.code == 404 => return Ok(true),
        Err(s) if s.code >= 500 || s.code == 429 => return Err(s.message),
        Err(s) => tracing::debug!(pod = %pod.text(), "final status refused: {s}"),
    }
    let options = DeleteOptions {
        uid: Some(pod.uid().to_owned()),
        grace_period_seconds: Some(0),
        ..DeleteOptions::default()
    };
    let api = Api::new(shared.ctx.client.as_ref(), PODS, pod.ns());
    match api.delete(pod.nm(), &options).await {
        // With finalizers the object stays; its deletion event then comes when they are gone.
        Ok(_) => Ok(true),
        Err(s) if s.code == 404 || s.code == 409 => Ok(true),
        Err(s) => Err(s.message),
    }
}

//! Writing pod statuses to the API.

use std::time::Duration;

use client::{Api, DeleteOptions, Patch};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use meta::Gvr;
use serde::Deserialize;

use super::Shared;
use crate::spec::PodExt;
use crate::status::patch;
use crate::worker::task::Finished;

const PODS: Gvr = Gvr::new("", "v1", "pods");
/// Before the second try, and at most.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// What became of one write.
pub(crate) enum Written {
    /// The pod's revision after it.
    Done(u64),
    /// The pod is gone, or another one has its name.
    Gone,
    /// It should be tried again now.
    Again,
}

/// Writes one status. A refusal is not for good: what was refused may be taken later, of a changed pod or by a server
/// with other rules. `failures`: how often in a row it has failed; after a failure this waits.
// k8s: pkg/kubelet/status/status_manager.go syncPod
pub(super) async fn write(shared: &Shared, pod: &Pod, status: &PodStatus, failures: u32) -> Written {
    let s = match once(shared, pod, status).await {
        Ok(revision) => return Written::Done(revision),
        Err(s) => s,
    };
    if is_gone(shared, pod, &s).await {
        return Written::Gone;
    }
    if failures == 0 && s.code < 500 {
        tracing::warn!(pod = %pod.text(), "status refused: {s}");
    } else {
        tracing::debug!(pod = %pod.text(), "status not written: {s}");
    }
    shared.ctx.sleep(pause(failures)).await;
    Written::Again
}

fn pause(failures: u32) -> Duration {
    RETRY.saturating_mul(1 << failures.min(8)).min(LONGEST_RETRY)
}

/// Whether a refusal says that this very pod is not there any more. A conflict may be one of its UID, or one of
/// writers.
async fn is_gone(shared: &Shared, pod: &Pod, refusal: &meta::Status) -> bool {
    match refusal.code {
        404 => true,
        409 => match Api::new(shared.ctx.client.as_ref(), PODS, pod.ns()).get(pod.nm()).await {
            Ok(b) => meta_of(&b).is_some_and(|m| m.uid != pod.uid()),
            Err(s) => s.code == 404,
        },
        _ => false,
    }
}

/// The little that is read of an answer.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    uid: String,
    resource_version: String,
    finalizers: Vec<String>,
}

fn meta_of(object: &[u8]) -> Option<Meta> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Meta,
    }
    serde_json::from_slice::<Object>(object).ok().map(|o| o.metadata)
}

async fn once(shared: &Shared, pod: &Pod, status: &PodStatus) -> Result<u64, meta::Status> {
    let body = patch::body(pod, status).map_err(|e| meta::Status::internal(e.to_string()))?;
    let api = Api::new(shared.ctx.client.as_ref(), PODS, pod.ns());
    let answer = api.patch(pod.nm(), "status", Patch::Strategic(body)).await?;
    Ok(meta_of(&answer).and_then(|m| m.resource_version.parse().ok()).unwrap_or(0))
}

/// Writes the final status, then lets the object go.
pub(super) async fn finish(shared: &Shared, pod: &Pod, status: &PodStatus) -> Result<Finished, String> {
    if let Err(s) = once(shared, pod, status).await {
        return if is_gone(shared, pod, &s).await { Ok(Finished::Gone) } else { Err(s.message) };
    }
    let options = DeleteOptions {
        uid: Some(pod.uid().to_owned()),
        grace_period_seconds: Some(0),
        ..DeleteOptions::default()
    };
    let api = Api::new(shared.ctx.client.as_ref(), PODS, pod.ns());
    match api.delete(pod.nm(), &options).await {
        Ok(answer) => Ok(after_delete(&answer)),
        Err(s) if s.code == 404 || s.code == 409 => Ok(Finished::Gone),
        Err(s) => Err(s.message),
    }
}

/// With finalizers the object stays; its deletion event comes when they are gone.
fn after_delete(answer: &[u8]) -> Finished {
    if meta_of(answer).is_some_and(|m| !m.finalizers.is_empty()) { Finished::Held } else { Finished::Gone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finalizers_hold_the_object() {
        let cases = [
            (r#"{"kind":"Pod","metadata":{"uid":"u","finalizers":["a/b"]}}"#, Finished::Held),
            (r#"{"kind":"Pod","metadata":{"uid":"u"}}"#, Finished::Gone),
            (r#"{"kind":"Status","metadata":{},"status":"Success"}"#, Finished::Gone),
            ("", Finished::Gone),
        ];
        for (answer, want) in cases {
            assert_eq!(after_delete(answer.as_bytes()), want, "{answer}");
        }
    }

    #[test]
    fn retries_wait_longer_up_to_a_bound() {
        let pauses = [0, 1, 2, 3, 4, 40].map(|n| pause(n).as_secs());
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    }
}

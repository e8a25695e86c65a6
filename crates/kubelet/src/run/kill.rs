//! Ending one container: preStop, stop signal, kill.
// k8s: pkg/kubelet/kuberuntime/kuberuntime_container.go killContainer

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::{Shared, hooks, inspect};
use crate::error::Result;
use crate::spec::PodExt;
use crate::worker::view::ContainerView;

/// What is left to a container at least once its hook is through.
const MIN_SECONDS: i64 = 2;

/// What to end and how.
pub(super) struct Kill<'a> {
    pub container: &'a str,
    pub id: &'a str,
    pub grace_seconds: i64,
    pub pre_stop: bool,
    pub message: &'a str,
    pub ips: &'a [String],
}

/// Ends a container; gives its last status.
pub(super) async fn kill(shared: &Arc<Shared>, pod: &Pod, k: Kill<'_>) -> Result<Option<ContainerView>> {
    if !k.message.is_empty() {
        shared.events.pod(pod, false, "Killing", k.message.to_owned(), Some(k.container));
    }
    let begun = shared.ctx.clock.monotonic();
    if k.pre_stop {
        pre_stop(shared, pod, &k).await;
    }
    let spent = i64::try_from((shared.ctx.clock.monotonic() - begun).as_secs()).unwrap_or(0);
    let left = (k.grace_seconds - spent).max(MIN_SECONDS);
    match shared.runtime.stop_container(k.id, left).await {
        Err(e) if !e.is_not_found() => return Err(e.into()),
        _ => {}
    }
    inspect::container(shared, k.id).await
}

async fn pre_stop(shared: &Shared, pod: &Pod, k: &Kill<'_>) {
    let Some(spec) = pod.container(k.container) else { return };
    let Some(hook) = spec.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref()) else { return };
    let limit = Duration::from_secs(u64::try_from(k.grace_seconds).unwrap_or(1));
    let run = hooks::run(shared, pod, &spec, hook, k.id, k.ips, limit);
    let result = tokio::time::timeout(limit, run).await;
    let message = match result {
        Ok(Ok(())) => return,
        Ok(Err(e)) => format!("PreStopHook failed: {e}"),
        Err(_) => format!("PreStopHook not completed in grace period ({}s)", k.grace_seconds),
    };
    shared.events.pod(pod, true, "FailedPreStopHook", message, Some(k.container));
}

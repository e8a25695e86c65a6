//! From a task to its outcome.

use std::sync::Arc;

use cri::v1;
use k8s_openapi::api::core::v1::Pod;

use super::{Shared, hooks, images, inspect, kill, prober, resize, start, status};
use crate::admit::asks::{self, Asker, Step};
use crate::error::{Error, Result};
use crate::spec::{PodExt, dns, sandbox};
use crate::worker::task::{Failure, Outcome, Task};
use crate::worker::view::{self, SandboxView};

/// Runs one task. `ips`: the newest sandbox's addresses.
pub(super) async fn perform(shared: &Arc<Shared>, pod: &Pod, ips: &[String], task: &Task) -> Outcome {
    let text = |e: Error| e.to_string();
    match task {
        Task::Inspect { .. } => Outcome::View(inspect::view(shared, pod.uid()).await.map_err(text)),
        Task::Prepare => Outcome::Prepared(prepare(shared, pod, ips).await.map_err(text)),
        Task::Refresh => {
            let facts = shared.facts(pod, ips);
            if let Err(e) = shared.volumes.refresh(pod, &facts).await {
                tracing::debug!(pod = %pod.text(), "volumes not refreshed: {e}");
            }
            Outcome::Prepared(Ok(()))
        }
        Task::RunSandbox { attempt } => Outcome::Sandbox(run_sandbox(shared, pod, *attempt).await),
        Task::StopSandbox { id } => {
            Outcome::SandboxStopped(gone_is_fine(shared.runtime.stop_pod_sandbox(id).await))
        }
        Task::RemoveSandbox { id } => {
            let stopped = gone_is_fine(shared.runtime.stop_pod_sandbox(id).await);
            Outcome::SandboxRemoved(match stopped {
                Ok(()) => gone_is_fine(shared.runtime.remove_pod_sandbox(id).await),
                e => e,
            })
        }
        Task::Image { container } => Outcome::Image(images::ensure(shared, pod, container).await),
        Task::Start { container, sandbox, restart_count, image, target } => {
            let how = start::How { restart_count: *restart_count, image, target: target.as_deref() };
            Outcome::Started(start::start(shared, pod, container, sandbox, how).await)
        }
        Task::PostStart { container, id } => {
            Outcome::PostStart(hooks::post_start(shared, pod, container, id, ips).await.map_err(text))
        }
        Task::Kill { container, id, grace_seconds, pre_stop, message } => {
            let k = kill::Kill {
                container,
                id,
                grace_seconds: *grace_seconds,
                pre_stop: *pre_stop,
                message,
                ips,
            };
            Outcome::Killed(kill::kill(shared, pod, k).await.map_err(text))
        }
        Task::Resize { changes } => Outcome::Resized(resize::resize(shared, pod, changes).await),
        Task::Remove { id } => Outcome::Removed(gone_is_fine(shared.runtime.remove_container(id).await)),
        Task::Probe { container, id, kind, ip } => {
            Outcome::Probe(prober::probe(shared, pod, container, id, *kind, ip).await)
        }
        Task::Cleanup { logs } => Outcome::Cleaned(cleanup(shared, pod, *logs).await.map_err(text)),
        Task::Finish { status: s } => Outcome::Finished(status::finish(shared, pod, s).await),
    }
}

fn gone_is_fine(r: cri::Result<()>) -> Result<(), String> {
    match r {
        Err(e) if !e.is_not_found() => Err(e.to_string()),
        _ => Ok(()),
    }
}

async fn prepare(shared: &Shared, pod: &Pod, ips: &[String]) -> Result<()> {
    if let Err(e) = shared.cgroups.create(pod).await {
        if !shared.cgroups.is_made_by_systemd() {
            return Err(e);
        }
        let message = format!("the pod runs without limits of its own: {e}");
        shared.events.pod(pod, true, "FailedPodLimits", message, None);
    }
    let logs = shared.config.pod_logs_dir(pod.ns(), pod.nm(), pod.uid());
    crate::volumes::make_dir(&logs, 0o755)?;
    shared.volumes.prepare(pod, &shared.facts(pod, ips)).await
}

async fn run_sandbox(shared: &Shared, pod: &Pod, attempt: u32) -> Result<SandboxView, Failure> {
    let failed = |e: Error| Failure {
        event: "FailedCreatePodSandBox",
        message: format!("Failed to create pod sandbox: {e}"),
    };
    let handler = handler(shared, pod).await.map_err(failed)?;
    let abilities = shared.abilities.lock().clone();
    let asker = Asker { pod, container: None, handler: &handler, node: &abilities };
    if let Some((event, message)) = asks::unmet(Step::Sandbox, asker) {
        return Err(Failure { event, message });
    }
    let dns = dns::config(pod, &shared.config, &shared.host_dns);
    let config = sandbox::config(pod, &shared.config, dns, &shared.cgroups.parent(pod), attempt);
    let id = shared.runtime.run_pod_sandbox(config, &handler).await.map_err(|e| failed(e.into()))?;
    let status = shared.runtime.pod_sandbox_status(&id, false).await.map_err(|e| failed(e.into()))?;
    let status: v1::PodSandboxStatus = status
        .status
        .ok_or_else(|| failed(Error::Config("the runtime gave no status of the new sandbox".to_owned())))?;
    Ok(view::sandbox(&status))
}

/// The runtime handler of the pod's RuntimeClass; the default one's name is empty.
pub(super) async fn handler(shared: &Shared, pod: &Pod) -> Result<String> {
    let Some(class) = pod.sp().runtime_class_name.as_deref().filter(|c| !c.is_empty()) else {
        return Ok(String::new());
    };
    shared.objects.runtime_handler(class).await?.ok_or_else(|| {
        Error::Config(format!("failed to get sandbox runtime: RuntimeClass \"{class}\" not found"))
    })
}

async fn cleanup(shared: &Shared, pod: &Pod, logs: bool) -> Result<()> {
    shared.volumes.teardown(pod.uid())?;
    if !shared.cgroups.remove(pod.uid()).await {
        // Its processes may take a moment to leave; the periodic sweep tries again.
        tracing::debug!(pod = %pod.text(), "cgroup still busy");
    }
    if logs {
        let dir = shared.config.pod_logs_dir(pod.ns(), pod.nm(), pod.uid());
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("remove {}", dir.display()), e));
            }
            _ => {}
        }
    }
    Ok(())
}

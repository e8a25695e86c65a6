//! Resizing a running pod: what its containers run with is brought to what the spec says.
// k8s: pkg/kubelet/allocation/allocation_manager.go, pkg/kubelet/kuberuntime/kuberuntime_manager.go doPodResizeAction

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use serde_json::json;

use super::task::{Change, Effect, Key, Resized, Task, Why};
use super::view::CState;
use super::{Stage, Worker};
use crate::spec::{PodExt, is_sidecar, resources};

/// Until a resize that could not be done is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// Where a resize is.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// The node cannot do it now or ever: `Deferred` or `Infeasible`.
    pub(crate) pending: Option<Why>,
    /// It is granted, and (with a message) did not work so far.
    pub(crate) in_progress: Option<Option<String>>,
    /// Not before, unless the pod changes.
    retry_at: Option<Timestamp>,
    /// The pod's generation that was last tried.
    tried: Option<i64>,
}

impl Worker {
    /// What the container instance was last given: by us, or, after a restart of the agent, by what was published.
    #[must_use]
    pub(crate) fn applied(&self, name: &str, id: &str) -> Option<ResourceRequirements> {
        let own = self.containers.get(name).and_then(|c| c.resources.as_ref());
        if let Some((of, applied)) = own
            && of == id
        {
            return Some(applied.clone());
        }
        let old = self.old_status(name)?;
        let same = old.container_id.as_deref().is_some_and(|i| i.ends_with(&format!("//{id}")));
        let ran = old.state.as_ref().is_some_and(|s| s.running.is_some());
        (same && ran).then(|| old.resources.clone().unwrap_or_default())
    }

    /// Asks for a resize when a running container has other resources than its spec.
    pub(super) fn resize(&mut self, pod: &Pod, now: Timestamp, out: &mut Vec<Effect>) {
        if self.is_busy(&Key::Resize) {
            return;
        }
        let changes = self.changes(pod);
        if changes.is_empty() {
            self.resized_all(pod, out);
            return;
        }
        let again = self.resize.tried == pod.metadata.generation;
        if let Some(at) = self.resize.retry_at.filter(|at| again && *at > now) {
            self.wake_at(at);
            return;
        }
        self.resize.tried = pod.metadata.generation;
        self.run(Task::Resize { changes }, out);
    }

    fn changes(&mut self, pod: &Pod) -> Vec<Change> {
        let sidecars = pod.sp().init_containers.iter().flatten().filter(|c| is_sidecar(c));
        let mut out = Vec::new();
        for c in sidecars.chain(&pod.sp().containers) {
            let running = self.view.as_ref().and_then(|v| v.latest(&c.name));
            let Some(id) = running.filter(|v| v.state == CState::Running).map(|v| v.id.clone()) else {
                continue;
            };
            if self.ctr(&c.name).replace.as_ref() == Some(&id) {
                continue;
            }
            let Some(before) = self.applied(&c.name, &id) else { continue };
            let (cpu, memory) = resources::differences(Some(&before), c.resources.as_ref());
            if cpu || memory {
                let restart = must_restart(c, cpu, memory);
                out.push(Change { container: c.name.clone(), id, before, restart });
            }
        }
        out
    }

    /// Nothing is left to be resized.
    fn resized_all(&mut self, pod: &Pod, out: &mut Vec<Effect>) {
        let restarting = self.containers.values().any(|c| c.replace.is_some());
        if self.resize.in_progress.is_some() && !restarting {
            self.resize_event(pod, "ResizeCompleted", "completed", "", out);
        }
        if !restarting {
            self.resize = State::default();
        }
    }

    pub(super) fn resize_answered(
        &mut self,
        changes: &[Change],
        result: Resized,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let pod = self.pod.clone();
        self.resize.retry_at = now.checked_add(RETRY).ok();
        match result {
            Resized::Pending(why) => {
                if self.resize.pending.as_ref().map(|w| &w.reason) != Some(&why.reason) {
                    let event =
                        if why.reason == "Infeasible" { "ResizeInfeasible" } else { "ResizeDeferred" };
                    self.resize_event(&pod, event, &why.reason, &why.message, out);
                }
                self.resize.pending = Some(why);
            }
            Resized::Failed(error) => {
                self.begun(&pod, out);
                if self.resize.in_progress.as_ref().and_then(Option::as_ref) != Some(&error) {
                    self.resize_event(&pod, "ResizeError", "error", &error, out);
                }
                self.resize.in_progress = Some(Some(error));
            }
            Resized::Done(applied) => {
                self.begun(&pod, out);
                self.resize.in_progress = Some(None);
                for (change, now_has) in changes.iter().zip(applied) {
                    self.apply(change, now_has, now, out);
                }
            }
        }
    }

    fn begun(&mut self, pod: &Pod, out: &mut Vec<Effect>) {
        self.resize.pending = None;
        if self.resize.in_progress.is_none() {
            self.resize_event(pod, "ResizeStarted", "started", "", out);
        }
    }

    fn apply(&mut self, change: &Change, has: ResourceRequirements, now: Timestamp, out: &mut Vec<Effect>) {
        if !change.restart {
            self.ctr(&change.container).resources = Some((change.id.clone(), has));
            return;
        }
        let running = self.view.as_ref().and_then(|v| v.by_id(&change.id)).cloned();
        let Some(v) = running.filter(|v| v.state == CState::Running && self.stage == Stage::Syncing) else {
            return;
        };
        self.ctr(&change.container).replace = Some(change.id.clone());
        let message = format!("Container {} resize requires restart", change.container);
        self.kill(&v, &message, None, now, out);
    }

    // k8s: pkg/kubelet/events/resize_events.go podResizeMessage
    fn resize_event(&self, pod: &Pod, reason: &'static str, what: &str, error: &str, out: &mut Vec<Effect>) {
        let list = |all: &[Container]| -> Vec<serde_json::Value> {
            let one =
                |c: &Container| json!({"name": c.name, "resources": c.resources.clone().unwrap_or_default()});
            all.iter().map(one).collect()
        };
        let mut summary =
            json!({"containers": list(&pod.sp().containers), "generation": pod.metadata.generation});
        if let Some(init) = pod.sp().init_containers.as_deref().filter(|l| !l.is_empty()) {
            summary["initContainers"] = list(init).into();
        }
        if !error.is_empty() {
            summary["error"] = error.into();
        }
        let message = format!("Pod resize {what}: {summary}");
        let warning = matches!(reason, "ResizeInfeasible" | "ResizeDeferred" | "ResizeError");
        out.push(Effect::Event { warning, reason, message, container: None });
    }
}

fn must_restart(c: &Container, cpu: bool, memory: bool) -> bool {
    c.resize_policy.iter().flatten().any(|p| {
        let changed = (p.resource_name == "cpu" && cpu) || (p.resource_name == "memory" && memory);
        changed && p.restart_policy == "RestartContainer"
    })
}

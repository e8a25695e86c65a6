//! Stopping, cleaning up, and letting the API object go.
// k8s: pkg/kubelet/kubelet.go SyncTerminatingPod, SyncTerminatedPod

use jiff::Timestamp;

use super::task::{Effect, Key, Task};
use super::view::{CState, ContainerView};
use super::{Stage, Worker};
use crate::spec::{PodExt, is_sidecar};
use crate::status;

/// The least time a container gets.
// k8s: pkg/kubelet/kuberuntime/kuberuntime_container.go minimumGracePeriodInSeconds
const MIN_GRACE_SECONDS: i64 = 2;
const DEFAULT_GRACE_SECONDS: i64 = 30;

impl Worker {
    /// Goes on with the end of the pod as far as answers allow.
    pub(super) fn end(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.stage == Stage::Stopping && self.stopped(now, out) {
            self.stage = Stage::Cleaning;
        }
        if self.stage == Stage::Cleaning {
            self.run_cleanup(now, false, out);
        }
        if self.stage == Stage::Ended {
            self.ended(now, out);
        }
        if self.stage == Stage::Removing && self.removed(now, out) {
            self.run_cleanup(now, true, out);
        }
        if self.stage == Stage::Held && self.gone {
            self.stage = Stage::Done;
            out.push(Effect::Forget);
        }
    }

    fn run_cleanup(&mut self, now: Timestamp, logs: bool, out: &mut Vec<Effect>) {
        if self.is_busy(&Key::Volumes) {
            return;
        }
        if self.finish.open(now) {
            self.run(Task::Cleanup { logs }, out);
        } else if let Some(at) = self.finish.at {
            self.wake_at(at);
        }
    }

    /// Seconds the pod gives its containers now.
    fn grace(&self) -> i64 {
        let meta = &self.pod.metadata;
        let given = if meta.deletion_timestamp.is_some() { meta.deletion_grace_period_seconds } else { None };
        given.or(self.pod.sp().termination_grace_period_seconds).unwrap_or(DEFAULT_GRACE_SECONDS)
    }

    /// Kills a container unless that is under way with no longer a grace period. After a failure it waits for its
    /// turn; the hook and the event belong to the first attempt.
    pub(super) fn kill(
        &mut self,
        c: &ContainerView,
        message: &str,
        grace: Option<i64>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let grace_seconds = grace.unwrap_or_else(|| self.grace()).max(MIN_GRACE_SECONDS);
        let before = self.kill_grace.get(&c.id).copied();
        let busy = self.is_being_killed(&c.id);
        if busy && before.is_some_and(|b| b <= grace_seconds) {
            return;
        }
        if before.is_some() && !busy && !self.may_stop(now) {
            return;
        }
        let spec = self.pod.container(&c.name);
        let hook = spec.and_then(|s| s.lifecycle.clone()).is_some_and(|l| l.pre_stop.is_some());
        self.kill_grace.insert(c.id.clone(), grace_seconds);
        let message = if before.is_some() { String::new() } else { message.to_owned() };
        let pre_stop = hook && before.is_none() && self.grace() > 0;
        self.run(
            Task::Kill { container: c.name.clone(), id: c.id.clone(), grace_seconds, pre_stop, message },
            out,
        );
    }

    fn is_being_killed(&self, id: &str) -> bool {
        self.busy.iter().any(|k| matches!(k, Key::Kill(of, _) if *of == *id))
    }

    /// Kills again what could not be killed.
    pub(super) fn kill_again(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(view) = self.view.as_ref().filter(|_| !self.kill_grace.is_empty()) else { return };
        let running = view.containers.iter().filter(|c| c.state == CState::Running);
        let left: Vec<(ContainerView, i64)> = running
            .filter(|c| !self.is_being_killed(&c.id))
            .filter_map(|c| Some((c.clone(), *self.kill_grace.get(&c.id)?)))
            .collect();
        for (c, grace) in left {
            self.kill(&c, "", Some(grace), now, out);
        }
    }

    /// Stops what runs: main containers, then sidecars in reverse order, then the sandboxes.
    fn stopped(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> bool {
        if self.busy.iter().any(|k| matches!(k, Key::Start(_) | Key::Sandbox)) {
            return false;
        }
        let Some(view) = &self.view else { return false };
        let running: Vec<ContainerView> = view
            .containers
            .iter()
            .filter(|c| matches!(c.state, CState::Running | CState::Unknown))
            .cloned()
            .collect();
        if !running.is_empty() {
            let sidecar = |name: &str| self.pod.container(name).is_some_and(|c| is_sidecar(&c));
            let mut first: Vec<&ContainerView> = running.iter().filter(|c| !sidecar(&c.name)).collect();
            if first.is_empty() {
                let order = self.pod.sp().init_containers.as_deref().unwrap_or_default();
                let rank = |c: &&ContainerView| order.iter().position(|o| o.name == c.name);
                first.extend(running.iter().max_by_key(rank));
            }
            let first: Vec<ContainerView> = first.into_iter().cloned().collect();
            for c in first {
                self.kill(&c, &format!("Stopping container {}", c.name), None, now, out);
            }
            return false;
        }
        if self.busy.iter().any(|k| matches!(k, Key::Kill(..))) {
            return false;
        }
        let ready = view.sandboxes.iter().find(|s| s.ready).map(|s| s.id.clone());
        if let Some(id) = ready {
            if self.may_stop(now) {
                self.run(Task::StopSandbox { id }, out);
            }
            return false;
        }
        true
    }

    fn ended(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.gone {
            self.stage = Stage::Removing;
            return;
        }
        if self.pod.metadata.deletion_timestamp.is_none() {
            return;
        }
        if !self.finish.open(now) {
            if let Some(at) = self.finish.at {
                self.wake_at(at);
            }
            return;
        }
        if !self.is_busy(&Key::Finish) {
            let status = Box::new(status::compute(self, self.published.as_ref(), now));
            self.published = Some((*status).clone());
            self.run(Task::Finish { status }, out);
        }
    }

    fn removed(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> bool {
        let Some(view) = &self.view else { return false };
        match view.sandboxes.first().map(|s| s.id.clone()) {
            Some(id) => {
                if self.may_stop(now) {
                    self.run(Task::RemoveSandbox { id }, out);
                }
                false
            }
            None => true,
        }
    }
}

//! What a pod that should run needs next.
// k8s: pkg/kubelet/kuberuntime/kuberuntime_manager.go computePodActions, SyncPod

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

use super::backoff::CRASH_LOOP;
use super::probes::{self, Kind, State as ProbeState};
use super::restart;
use super::task::{Effect, Key, Task, Why};
use super::view::{CState, ContainerView, SandboxView};
use super::{REFRESH, Stage, Worker, time_of};
use crate::spec::{PodExt, container, is_sidecar};

/// How far the init containers are.
enum Init {
    Waiting,
    Failed,
    Done,
}

impl Worker {
    pub(super) fn decide(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.view.is_none() || self.stale {
            self.stale = false;
            let epoch = self.epoch;
            self.stale = !self.run(Task::Inspect { epoch }, out);
            if self.view.is_none() {
                return;
            }
        }
        if self.stage == Stage::Syncing {
            self.sync(now, out);
        }
        self.end(now, out);
    }

    fn sync(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.gone || self.pod.metadata.deletion_timestamp.is_some() || self.over(now) {
            self.stage = Stage::Stopping;
            return;
        }
        self.check_running(now, out);
        self.kill_again(now, out);
        if !self.volumes_ready {
            self.try_volumes(now, out);
            return;
        }
        if self.refresh_at <= now && self.run(Task::Refresh, out) {
            self.refresh_at = now.saturating_add(REFRESH).unwrap_or(Timestamp::MAX);
        }
        self.wake_at(self.refresh_at);
        let Some(sandbox) = self.need_sandbox(now, out) else { return };
        let pod = self.pod.clone();
        self.ephemeral_containers(&pod, &sandbox, now, out);
        self.resize(&pod, now, out);
        match self.init_containers(&pod, &sandbox, now, out) {
            Init::Done => {}
            Init::Waiting => return,
            Init::Failed => {
                self.stage = Stage::Stopping;
                return;
            }
        }
        for c in &pod.sp().containers {
            self.keep(&pod, c, &sandbox, now, out);
        }
        self.drop_dead(now, out);
    }

    /// Whether the pod has come to an end by itself.
    fn over(&mut self, now: Timestamp) -> bool {
        if self.failed.is_some() {
            return true;
        }
        let phase = self.pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default();
        if matches!(phase, "Succeeded" | "Failed") {
            return true;
        }
        if let Some(seconds) = self.pod.sp().active_deadline_seconds {
            let at =
                self.start_time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
            if at <= now {
                let message = "Pod was active on the node longer than the specified deadline";
                self.failed = Some(Why::new("DeadlineExceeded", message));
                return true;
            }
            self.wake_at(at);
        }
        let starting = self.busy.iter().any(|k| matches!(k, Key::Start(_) | Key::Image(_)));
        !starting && self.all_ended()
    }

    /// Whether every main container has ended and none runs again.
    fn all_ended(&self) -> bool {
        let Some(view) = &self.view else { return false };
        let pod = &self.pod;
        !pod.sp().containers.is_empty()
            && pod.sp().containers.iter().all(|c| {
                let replaced = self.containers.get(&c.name).and_then(|s| s.replace.as_ref());
                view.latest(&c.name).is_some_and(|v| {
                    v.state == CState::Exited
                        && !restart::again(pod, c, v.exit_code)
                        && replaced != Some(&v.id)
                })
            })
    }

    fn try_volumes(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.volumes.open(now) {
            self.run(Task::Prepare, out);
        } else if let Some(at) = self.volumes.at {
            self.wake_at(at);
        }
    }

    /// The sandbox to run in; asks for one where there is none.
    fn need_sandbox(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> Option<SandboxView> {
        let host_network = self.pod.host_network();
        let view = self.view.as_ref()?;
        let newest = view.sandboxes.first().cloned();
        if let Some(s) = newest.as_ref().filter(|s| s.ready && (host_network || !s.ips.is_empty())) {
            return Some(s.clone());
        }
        if self.is_busy(&Key::Sandbox) {
            return None;
        }
        // What still runs in the old sandbox must not run beside the new one.
        let old: Vec<ContainerView> =
            view.containers.iter().filter(|c| c.state == CState::Running).cloned().collect();
        if !old.is_empty() {
            for c in old {
                self.kill(&c, "Pod sandbox changed, it will be killed and re-created.", None, now, out);
            }
            return None;
        }
        if self.busy.iter().any(|k| matches!(k, Key::Kill(..) | Key::Start(_))) {
            return None;
        }
        if !self.sandbox.open(now) {
            let at = self.sandbox.at?;
            self.wake_at(at);
            return None;
        }
        if let Some(s) = newest.as_ref().filter(|s| s.ready) {
            if !self.may_stop(now) {
                return None;
            }
            self.run(Task::StopSandbox { id: s.id.clone() }, out);
            return None;
        }
        let attempt = newest.as_ref().map_or(0, |s| s.attempt + 1);
        if attempt > 0 && self.sandbox.error.is_none() {
            let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
            out.push(Effect::Event { warning: false, reason: "SandboxChanged", message, container: None });
        }
        self.run(Task::RunSandbox { attempt }, out);
        None
    }

    /// Starts ephemeral containers that never were; whatever became of one, it does not run again.
    fn ephemeral_containers(
        &mut self,
        pod: &Arc<Pod>,
        sandbox: &SandboxView,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        for c in pod.ephemeral() {
            let seen = self.view.as_ref().is_some_and(|v| v.latest(&c.name).is_some());
            let known = self.old_status(&c.name).is_some_and(|s| s.container_id.is_some());
            if !seen && !known {
                self.start(pod, &c, sandbox, None, now, out);
            }
        }
    }

    /// What the API's status says of a container.
    pub(crate) fn old_status(&self, name: &str) -> Option<&ContainerStatus> {
        let status = self.pod.status.as_ref()?;
        let lists = [
            &status.container_statuses,
            &status.init_container_statuses,
            &status.ephemeral_container_statuses,
        ];
        lists.into_iter().flatten().flatten().find(|s| s.name == name)
    }

    fn init_containers(
        &mut self,
        pod: &Arc<Pod>,
        sandbox: &SandboxView,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Init {
        let Some(all) = pod.sp().init_containers.as_deref().filter(|l| !l.is_empty()) else {
            return Init::Done;
        };
        let initialized = self.initialized(&sandbox.id);
        for (i, c) in all.iter().enumerate() {
            let have = self.in_sandbox(&c.name, &sandbox.id);
            if is_sidecar(c) {
                self.keep(pod, c, sandbox, now, out);
                let up = have
                    .as_ref()
                    .is_some_and(|v| v.state == CState::Running && self.is_started(&c.name, &v.id));
                let later = all[i + 1..].iter().any(|n| self.in_sandbox(&n.name, &sandbox.id).is_some());
                if !up && !later && !initialized {
                    return Init::Waiting;
                }
                continue;
            }
            if initialized {
                continue;
            }
            match have {
                Some(v) if v.state == CState::Exited && v.exit_code == 0 => {}
                Some(v) if v.state == CState::Exited && !restart::init_again(pod, c, v.exit_code) => {
                    return Init::Failed;
                }
                Some(v) if v.state == CState::Running => {
                    self.check_definition(c, &v, now, out);
                    return Init::Waiting;
                }
                have => {
                    self.start(pod, c, sandbox, have.as_ref(), now, out);
                    return Init::Waiting;
                }
            }
        }
        Init::Done
    }

    /// Whether a main container was made in this sandbox: then the init containers are behind it.
    pub(crate) fn initialized(&self, sandbox_id: &str) -> bool {
        let Some(view) = &self.view else { return false };
        let main = &self.pod.sp().containers;
        view.containers.iter().any(|v| v.sandbox_id == sandbox_id && main.iter().any(|c| c.name == v.name))
    }

    fn in_sandbox(&self, name: &str, sandbox_id: &str) -> Option<ContainerView> {
        let v = self.view.as_ref()?.latest(name)?;
        (v.sandbox_id == sandbox_id).then(|| v.clone())
    }

    /// Keeps one main container or sidecar running as its policy says.
    fn keep(
        &mut self,
        pod: &Arc<Pod>,
        c: &Container,
        sandbox: &SandboxView,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let latest = self.view.as_ref().and_then(|v| v.latest(&c.name)).cloned();
        match latest {
            None => self.start(pod, c, sandbox, None, now, out),
            Some(v) if v.state == CState::Running => self.check_definition(c, &v, now, out),
            Some(v) => {
                let replace = self.ctr(&c.name).replace.as_ref() == Some(&v.id);
                let again = v.state != CState::Exited || replace || restart::again(pod, c, v.exit_code);
                if again {
                    self.start(pod, c, sandbox, Some(&v), now, out);
                }
            }
        }
    }

    fn check_definition(&mut self, c: &Container, v: &ContainerView, now: Timestamp, out: &mut Vec<Effect>) {
        if !v.hash.is_empty() && v.hash != container::hash(c) {
            self.ctr(&c.name).replace = Some(v.id.clone());
            let message = format!("Container {} definition changed, will be restarted", c.name);
            self.kill(v, &message, None, now, out);
        }
    }

    /// Brings a container one step nearer to running: delay, image, start.
    fn start(
        &mut self,
        pod: &Arc<Pod>,
        c: &Container,
        sandbox: &SandboxView,
        dead: Option<&ContainerView>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let busy = self.is_busy(&Key::Image(c.name.clone())) || self.is_busy(&Key::Start(c.name.clone()));
        if busy || self.ctr(&c.name).unsure {
            return;
        }
        if let Some(d) = dead
            && !self.delay_passed(pod, c, d, now, out)
        {
            return;
        }
        self.flip_pull(c, now, out);
        let ctr = self.ctr(&c.name);
        if let Some(at) = ctr.retry_at.filter(|at| *at > now) {
            let flip = ctr.pull_flip_at;
            self.wake_at(flip.map_or(at, |f| f.min(at)));
            return;
        }
        ctr.retry_at = None;
        ctr.pull_flip_at = None;
        let task = match ctr.image.take() {
            None => Task::Image { container: c.name.clone() },
            Some(image) => Task::Start {
                container: c.name.clone(),
                sandbox: sandbox.clone(),
                restart_count: self.next_restart_count(&c.name),
                image,
                target: self.target(&c.name),
            },
        };
        if matches!(task, Task::Start { .. }) {
            self.ctr(&c.name).starting_with = c.resources.clone().unwrap_or_default();
        }
        self.run(task, out);
    }

    /// The running container whose processes an ephemeral container is to see.
    fn target(&self, name: &str) -> Option<String> {
        let all = self.pod.sp().ephemeral_containers.iter().flatten();
        let of = all.filter(|c| c.name == name).find_map(|c| c.target_container_name.as_deref())?;
        let running = self.view.as_ref()?.latest(of).filter(|v| v.state == CState::Running);
        running.map(|v| v.id.clone())
    }

    /// Counts on from the newest container of that name, in whatever sandbox it was.
    fn next_restart_count(&self, name: &str) -> u32 {
        if let Some(v) = self.view.as_ref().and_then(|v| v.latest(name)) {
            return v.restart_count + 1;
        }
        match self.old_status(name) {
            Some(s) if s.container_id.is_some() => s.restart_count.unsigned_abs() + 1,
            _ => 0,
        }
    }

    /// Some seconds after a failed pull the reason shown is the delay.
    fn flip_pull(&mut self, c: &Container, now: Timestamp, out: &mut Vec<Effect>) {
        let image = c.image.clone().unwrap_or_default();
        let ctr = self.ctr(&c.name);
        if ctr.pull_flip_at.is_none_or(|at| at > now) {
            return;
        }
        ctr.pull_flip_at = None;
        let before =
            ctr.waiting.as_ref().map(|w| format!(": {}: {}", w.reason, w.message)).unwrap_or_default();
        let message = format!("Back-off pulling image \"{image}\"");
        ctr.waiting = Some(Why::new("ImagePullBackOff", format!("{message}{before}")));
        let container = Some(c.name.clone());
        out.push(Effect::Event { warning: false, reason: "BackOff", message, container: container.clone() });
        let message = "Error: ImagePullBackOff".to_owned();
        out.push(Effect::Event { warning: true, reason: "Failed", message, container });
    }

    /// Whether a dead container's delay is over; announces it where not.
    fn delay_passed(
        &mut self,
        pod: &Pod,
        c: &Container,
        dead: &ContainerView,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> bool {
        let ctr = self.ctr(&c.name);
        let ended = if dead.finished_at > 0 {
            time_of(dead.finished_at)
        } else {
            // The first look counts, not each.
            if ctr.seen_dead.as_ref().is_none_or(|(id, _)| *id != dead.id) {
                ctr.seen_dead = Some((dead.id.clone(), now));
            }
            ctr.seen_dead.as_ref().map_or(now, |(_, at)| *at)
        };
        if ctr.released.as_ref() == Some(&dead.id) {
            return true;
        }
        let until = ctr.restart.until(ended, CRASH_LOOP);
        if until <= now {
            ctr.restart.next(ended, now, CRASH_LOOP);
            ctr.released = Some(dead.id.clone());
            ctr.waiting = None;
            return true;
        }
        if ctr.announced.as_ref() != Some(&dead.id) {
            ctr.announced = Some(dead.id.clone());
            let delay = go_duration(ctr.restart.delay().as_secs());
            let text = format!("back-off {delay} restarting failed container={} pod={}", c.name, pod.text());
            ctr.waiting = Some(Why::new("CrashLoopBackOff", text));
            let message = format!("Back-off restarting failed container {} in pod {}", c.name, pod.text());
            out.push(Effect::Event {
                warning: true,
                reason: "BackOff",
                message,
                container: Some(c.name.clone()),
            });
        }
        self.wake_at(until);
        false
    }

    /// Probes that are due, and containers that failed theirs.
    fn check_running(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(view) = &self.view else { return };
        let running: Vec<ContainerView> =
            view.containers.iter().filter(|c| c.state == CState::Running).cloned().collect();
        let ip = view.ready_sandbox().and_then(|s| s.ips.first().cloned());
        let ip = if self.pod.host_network() { self.node.host_ips.first().cloned() } else { ip }
            .unwrap_or_default();
        let pod = self.pod.clone();
        for v in &running {
            let Some(c) = pod.container(&v.name) else { continue };
            let hook = c.lifecycle.as_ref().is_some_and(|l| l.post_start.is_some());
            if hook && self.ctr(&v.name).post_start_done.is_none() && self.ctr(&v.name).probes.is_empty() {
                // Found running at start: its hook ran in another life of this agent.
                let own = self.is_busy(&Key::PostStart(v.id.clone()));
                if !own {
                    self.ctr(&v.name).post_start_done = Some(v.id.clone());
                }
            }
            for kind in [Kind::Startup, Kind::Liveness, Kind::Readiness] {
                self.probe(&c, v, kind, &ip, now, out);
            }
        }
    }

    fn probe(
        &mut self,
        c: &Container,
        v: &ContainerView,
        kind: Kind,
        ip: &str,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some(spec) = probes::probe_of(c, kind) else { return };
        if kind != Kind::Startup && !self.probe_ok(&c.name, &v.id, Kind::Startup) {
            return;
        }
        let known_ready = self.was_ready(&c.name, &v.id);
        let known_started = kind == Kind::Startup && self.was_started(&c.name, &v.id);
        let ctr = self.ctr(&c.name);
        ctr.probes.retain(|p| p.id == v.id);
        if !ctr.probes.iter().any(|p| p.kind == kind) {
            let mut state = ProbeState::new(&v.id, kind, spec, time_of(v.started_at));
            // A restarted agent believes what was published until the next run says otherwise.
            state.ok |= known_ready;
            if known_started {
                // It has passed, in another life of this agent; a startup probe does not run twice.
                (state.ok, state.decided) = (true, true);
            }
            ctr.probes.push(state);
        }
        let Some(state) = ctr.probes.iter_mut().find(|p| p.kind == kind) else { return };
        if kind == Kind::Startup && state.decided {
            return;
        }
        if kind == Kind::Liveness && state.decided && !state.ok {
            return;
        }
        let due = state.due();
        if due > now {
            self.wake_at(due);
            return;
        }
        state.begin(now);
        let next = state.due();
        let task = Task::Probe { container: c.name.clone(), id: v.id.clone(), kind, ip: ip.to_owned() };
        self.run(task, out);
        self.wake_at(next);
    }

    /// Whether the API's status says that this very container is ready.
    fn was_ready(&self, name: &str, id: &str) -> bool {
        self.old_status_of(name, id).is_some_and(|s| s.ready)
    }

    /// Whether the API's status says that this very container has passed its startup probe.
    fn was_started(&self, name: &str, id: &str) -> bool {
        self.old_status_of(name, id).is_some_and(|s| s.started == Some(true))
    }

    /// What the API's status says of this very container.
    fn old_status_of(&self, name: &str, id: &str) -> Option<&ContainerStatus> {
        let end = format!("//{id}");
        self.old_status(name).filter(|s| s.container_id.as_deref().is_some_and(|i| i.ends_with(&end)))
    }

    /// Keeps one dead container behind the latest of each name, and no dead sandbox without containers.
    fn drop_dead(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(view) = &self.view else { return };
        let mut seen: std::collections::BTreeMap<&str, u32> = std::collections::BTreeMap::new();
        let mut extra = Vec::new();
        for c in &view.containers {
            let n = seen.entry(c.name.as_str()).or_default();
            *n += 1;
            if *n > 2 && matches!(c.state, CState::Exited | CState::Created) {
                extra.push(c.id.clone());
            }
        }
        let empty: Option<String> = view
            .sandboxes
            .iter()
            .skip(1)
            .find(|s| !s.ready && !view.containers.iter().any(|c| c.sandbox_id == s.id))
            .map(|s| s.id.clone());
        if (extra.is_empty() && empty.is_none()) || !self.may_stop(now) {
            return;
        }
        for id in extra {
            self.run(Task::Remove { id }, out);
        }
        if let Some(id) = empty {
            self.run(Task::RemoveSandbox { id }, out);
        }
    }
}

/// `10s`, `1m20s`, `5m0s`.
fn go_duration(seconds: i64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

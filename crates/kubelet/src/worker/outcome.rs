//! What the answers of tasks change in the worker.

use jiff::{SignedDuration, Timestamp};

use super::backoff::CRASH_LOOP;
use super::probes::{self, Kind, Verdict};
use super::task::{Effect, Failure, Finished, Image, Outcome, Task, Why};
use super::view::{ContainerView, SandboxView, View};
use super::{Retry, Stage, Worker};
use crate::spec::PodExt;

/// How long a failed pull shows itself before its delay does.
const PULL_FLIP: SignedDuration = SignedDuration::from_secs(2);
/// After a failure that no delay is defined for.
const PLAIN_RETRY: SignedDuration = SignedDuration::from_secs(5);

impl Worker {
    pub(super) fn take_outcome(
        &mut self,
        task: Task,
        outcome: Outcome,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        self.busy.remove(&task.key());
        if !matches!(task, Task::Inspect { .. } | Task::Probe { .. } | Task::Prepare | Task::Refresh) {
            // A view read before this answer is older than the answer.
            self.epoch += 1;
        }
        match (task, outcome) {
            (Task::Inspect { epoch }, Outcome::View(r)) => self.viewed(epoch, r, now),
            (Task::Prepare, Outcome::Prepared(r)) => self.prepared(r, now, out),
            (Task::RunSandbox { .. }, Outcome::Sandbox(r)) => self.sandbox_made(r, now, out),
            (Task::StopSandbox { id }, Outcome::SandboxStopped(r)) => self.sandbox_stopped(&id, r, now),
            (Task::RemoveSandbox { id }, Outcome::SandboxRemoved(r)) => self.sandbox_removed(&id, r, now),
            (Task::Image { container }, Outcome::Image(r)) => self.image_there(&container, r, now, out),
            (Task::Start { container, .. }, Outcome::Started(r)) => self.started(&container, r, now, out),
            (Task::PostStart { container, id }, Outcome::PostStart(r)) => {
                self.hook_done(&container, &id, r, now, out)
            }
            (Task::Kill { id, .. }, Outcome::Killed(r)) => self.killed(&id, r, now),
            (Task::Resize { changes }, Outcome::Resized(r)) => self.resize_answered(&changes, r, now, out),
            (Task::Remove { id }, Outcome::Removed(r)) => self.container_removed(&id, r, now),
            (Task::Probe { container, id, kind, .. }, Outcome::Probe(v)) => {
                self.probed(&container, &id, kind, &v, now, out);
            }
            (Task::Cleanup { logs }, Outcome::Cleaned(r)) => self.cleaned(logs, r, now, out),
            (Task::Finish { .. }, Outcome::Finished(r)) => self.finished(r, now),
            _ => {}
        }
    }

    fn viewed(&mut self, epoch: u64, result: Result<View, String>, now: Timestamp) {
        match result {
            Ok(mut view) if epoch == self.epoch => {
                view.sort();
                self.kill_grace.retain(|id, _| view.by_id(id).is_some());
                for ctr in self.containers.values_mut() {
                    ctr.unsure = false;
                }
                self.view = Some(view);
            }
            Ok(_) => self.stale = true,
            Err(_) => {
                // The runtime is away: look again when it may be back.
                self.look_at = now.checked_add(SignedDuration::from_secs(1)).ok();
            }
        }
    }

    fn prepared(&mut self, result: Result<(), String>, now: Timestamp, out: &mut Vec<Effect>) {
        match result {
            Ok(()) => {
                self.volumes.succeeded();
                self.volumes_ready = true;
                self.refresh_at = now.saturating_add(super::REFRESH).unwrap_or(Timestamp::MAX);
            }
            Err(message) => {
                out.push(Effect::Event {
                    warning: true,
                    reason: "FailedMount",
                    message: message.clone(),
                    container: None,
                });
                self.volumes.failed(message, now);
            }
        }
    }

    fn sandbox_made(&mut self, result: Result<SandboxView, Failure>, now: Timestamp, out: &mut Vec<Effect>) {
        match result {
            Ok(s) => {
                self.sandbox.succeeded();
                if let Some(view) = &mut self.view {
                    view.sandboxes.retain(|have| have.id != s.id);
                    view.sandboxes.push(s);
                    view.sort();
                }
            }
            Err(Failure { event, message }) => {
                out.push(Effect::Event {
                    warning: true,
                    reason: event,
                    message: message.clone(),
                    container: None,
                });
                self.sandbox.failed(message, now);
                self.stale = true;
            }
        }
    }

    fn sandbox_stopped(&mut self, id: &str, result: Result<(), String>, now: Timestamp) {
        match result {
            Ok(()) => {
                self.stop.succeeded();
                for s in self.view.iter_mut().flat_map(|v| &mut v.sandboxes).filter(|s| s.id == id) {
                    s.ready = false;
                }
            }
            Err(e) => self.not_stopped(e, now),
        }
    }

    /// Something was not stopped or removed: it is looked at again, and tried again later.
    fn not_stopped(&mut self, error: String, now: Timestamp) {
        self.stop.failed(error, now);
        self.stale = true;
    }

    fn sandbox_removed(&mut self, id: &str, result: Result<(), String>, now: Timestamp) {
        match (result, &mut self.view) {
            (Ok(()), Some(v)) => {
                v.sandboxes.retain(|s| s.id != id);
                v.containers.retain(|c| c.sandbox_id != id);
                self.stop.succeeded();
            }
            (Err(e), _) => self.not_stopped(e, now),
            (Ok(()), None) => self.stale = true,
        }
    }

    fn image_there(&mut self, name: &str, result: Result<Image, Why>, now: Timestamp, out: &mut Vec<Effect>) {
        let ctr = self.ctr(name);
        match result {
            Ok(image) => {
                ctr.pull.reset();
                ctr.waiting = None;
                ctr.image = Some(image);
            }
            Err(why) => {
                let event = format!("Error: {}", why.reason);
                let pull = why.reason == "ErrImagePull" || why.reason == "RegistryUnavailable";
                if pull {
                    ctr.pull.next(now, now, CRASH_LOOP);
                    ctr.retry_at = now.checked_add(ctr.pull.delay()).ok();
                    ctr.pull_flip_at = now.checked_add(PULL_FLIP).ok();
                } else {
                    ctr.retry_at = now.checked_add(PLAIN_RETRY).ok();
                }
                ctr.waiting = Some(why);
                let container = Some(name.to_owned());
                out.push(Effect::Event { warning: true, reason: "Failed", message: event, container });
            }
        }
    }

    fn started(
        &mut self,
        name: &str,
        result: Result<ContainerView, Why>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let ctr = self.ctr(name);
        match result {
            Ok(v) => {
                ctr.waiting = None;
                ctr.replace = None;
                ctr.probes.clear();
                let id = v.id.clone();
                ctr.resources = Some((id.clone(), std::mem::take(&mut ctr.starting_with)));
                if let Some(view) = &mut self.view {
                    view.put(v);
                }
                let hook = self
                    .pod
                    .container(name)
                    .and_then(|c| c.lifecycle.clone())
                    .is_some_and(|l| l.post_start.is_some());
                if hook {
                    self.run(Task::PostStart { container: name.to_owned(), id }, out);
                }
            }
            Err(why) => {
                // A container that was made but did not start is dead, and its delay is counted like one.
                ctr.unsure = why.reason == "RunContainerError";
                ctr.retry_at = if ctr.unsure { None } else { now.checked_add(PLAIN_RETRY).ok() };
                ctr.waiting = Some(why);
                self.stale = true;
            }
        }
    }

    fn hook_done(
        &mut self,
        name: &str,
        id: &str,
        result: Result<(), String>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        self.ctr(name).post_start_done = Some(id.to_owned());
        let Err(why) = result else { return };
        let message = format!("PostStartHook failed: {why}");
        let container = Some(name.to_owned());
        out.push(Effect::Event { warning: true, reason: "FailedPostStartHook", message, container });
        if let Some(v) = self.view.as_ref().and_then(|v| v.by_id(id)).cloned() {
            self.kill(&v, "FailedPostStartHook", None, now, out);
        }
    }

    fn killed(&mut self, id: &str, result: Result<Option<ContainerView>, String>, now: Timestamp) {
        let result = match result {
            Ok(end) => end,
            // What is remembered of the attempt stays, so that the next one neither runs the hook nor tells again.
            Err(e) => return self.not_stopped(e, now),
        };
        self.kill_grace.remove(id);
        self.stop.succeeded();
        match (result, &mut self.view) {
            (Some(mut v), Some(view)) => {
                if v.sandbox_id.is_empty()
                    && let Some(old) = view.by_id(id)
                {
                    v.sandbox_id.clone_from(&old.sandbox_id);
                }
                view.put(v);
            }
            (None, Some(view)) => view.containers.retain(|c| c.id != id),
            (_, None) => self.stale = true,
        }
    }

    fn container_removed(&mut self, id: &str, result: Result<(), String>, now: Timestamp) {
        match (result, &mut self.view) {
            (Ok(()), Some(view)) => {
                view.containers.retain(|c| c.id != id);
                self.stop.succeeded();
            }
            (Err(e), _) => self.not_stopped(e, now),
            (Ok(()), None) => self.stale = true,
        }
    }

    fn probed(
        &mut self,
        name: &str,
        id: &str,
        kind: Kind,
        verdict: &Verdict,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let container = Some(name.to_owned());
        if let Verdict::Failure(text) | Verdict::Error(text) = verdict {
            let word = if matches!(verdict, Verdict::Failure(_)) { "failed" } else { "errored" };
            let message = format!("{} probe {word}: {text}", kind.title());
            let reason = if word == "failed" { "Unhealthy" } else { "ProbeError" };
            out.push(Effect::Event { warning: true, reason, message, container });
        }
        let ctr = self.ctr(name);
        let Some(state) = ctr.probes.iter_mut().find(|p| p.id == id && p.kind == kind) else { return };
        let changed = state.take(verdict);
        if !changed || state.ok || kind == Kind::Readiness || self.stage != Stage::Syncing {
            return;
        }
        let Some(v) = self.view.as_ref().and_then(|v| v.by_id(id)).cloned() else { return };
        let pod = self.pod.clone();
        let spec = pod.container(name);
        let policy =
            spec.as_ref().and_then(|c| c.restart_policy.as_deref()).unwrap_or_else(|| pod.restart_policy());
        let what = kind.title().to_lowercase();
        let message = if policy == "Never" {
            format!("Container {name} failed {what} probe")
        } else {
            self.ctr(name).replace = Some(id.to_owned());
            format!("Container {name} failed {what} probe, will be restarted")
        };
        let grace = spec
            .as_ref()
            .and_then(|c| probes::probe_of(c, kind))
            .and_then(|p| p.termination_grace_period_seconds);
        self.kill(&v, &message, grace, now, out);
    }

    fn cleaned(&mut self, logs: bool, result: Result<(), String>, now: Timestamp, out: &mut Vec<Effect>) {
        if let Err(e) = result {
            self.finish.failed(e, now);
            return;
        }
        self.finish = Retry::default();
        if logs {
            // Each version of an object that is held would else be taken for a new pod.
            self.stage = if self.held && !self.gone { Stage::Held } else { Stage::Done };
            out.extend((self.stage == Stage::Done).then_some(Effect::Forget));
        } else if self.stage == Stage::Cleaning {
            self.stage = Stage::Ended;
        }
    }

    fn finished(&mut self, result: Result<Finished, String>, now: Timestamp) {
        match result {
            Ok(Finished::Gone) => {
                self.finish = Retry::default();
                self.gone = true;
            }
            Ok(Finished::Held) => {
                self.finish = Retry::default();
                self.held = true;
                self.stage = Stage::Removing;
            }
            Err(e) => self.finish.failed(e, now),
        }
    }
}

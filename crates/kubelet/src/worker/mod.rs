//! The pod worker: one state machine per pod UID, `step(input, now) → effects`.
//!
//! It never does I/O, never reads a clock and never waits: tasks go out as effects and come back as inputs.
//! All it knows of the past beyond the runtime's own record are delays and probe counts, which a restart of
//! the agent may forget.

mod backoff;
mod decide;
mod end;
mod outcome;
pub mod probes;
mod resize;
mod restart;
pub mod task;
pub mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus, ResourceRequirements};

use crate::spec::PodExt;
use crate::status;
use backoff::Backoff;
use probes::{Kind, State as ProbeState};
use task::{Effect, Image, Input, Key, Task, Why};
use view::View;

/// How often volumes are looked at again.
const REFRESH: SignedDuration = SignedDuration::from_secs(60);

/// Where the pod is in its life on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Containers are kept as the spec wants them.
    Syncing,
    /// Everything is being stopped.
    Stopping,
    /// Volumes and cgroup are taken down.
    Cleaning,
    /// Nothing is left but the runtime's record; the API object decides when to go on.
    Ended,
    /// The runtime's record and the logs are removed.
    Removing,
    /// Nothing is left here, but finalizers keep the API object.
    Held,
    /// Nothing is left.
    Done,
}

/// What the worker remembers of one container name.
#[derive(Clone, Debug, Default)]
pub struct Ctr {
    pub(crate) restart: Backoff,
    pub(crate) pull: Backoff,
    /// Why it does not run, when that is more than being created.
    pub(crate) waiting: Option<Why>,
    /// What the instance with this id was last given.
    pub(crate) resources: Option<(String, ResourceRequirements)>,
    /// What the start under way gives it.
    pub(crate) starting_with: ResourceRequirements,
    /// A start failed half way: the next one waits for a look at what the runtime has of it.
    pub(crate) unsure: bool,
    /// An image made present for the next start.
    pub(crate) image: Option<Image>,
    /// Not before: after a failed pull or a failed configuration.
    pub(crate) retry_at: Option<Timestamp>,
    /// When `ErrImagePull` becomes `ImagePullBackOff`.
    pub(crate) pull_flip_at: Option<Timestamp>,
    /// The dead container whose delay has passed.
    pub(crate) released: Option<String>,
    /// The dead container of which the runtime tells no end, and when it was first seen dead.
    pub(crate) seen_dead: Option<(String, Timestamp)>,
    /// The dead container whose delay was announced.
    pub(crate) announced: Option<String>,
    /// The container that must be replaced whatever the restart policy says.
    pub(crate) replace: Option<String>,
    /// The container whose postStart hook is done.
    pub(crate) post_start_done: Option<String>,
    pub(crate) probes: Vec<ProbeState>,
}

/// A retry of a step of the whole pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retry {
    backoff: Backoff,
    at: Option<Timestamp>,
    pub(crate) error: Option<String>,
}

impl Retry {
    /// Failures of tasks that went out together count once.
    fn failed(&mut self, error: String, now: Timestamp) {
        if !self.open(now) {
            return;
        }
        self.backoff.next(now, now, backoff::MOUNT);
        self.at = now.checked_add(self.backoff.delay()).ok();
        self.error = Some(error);
    }

    fn succeeded(&mut self) {
        *self = Retry::default();
    }

    fn open(&self, now: Timestamp) -> bool {
        self.at.is_none_or(|at| at <= now)
    }
}

/// What every pod's status says of its node.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    pub host_ips: Vec<String>,
    /// The runtime's name, the scheme of container ids.
    pub runtime: String,
    /// Its default handler can make mounts read-only with all below them.
    pub recursive_read_only: bool,
}

/// One pod's worker.
pub struct Worker {
    pub(crate) pod: Arc<Pod>,
    pub(crate) stage: Stage,
    pub(crate) view: Option<View>,
    pub(crate) containers: BTreeMap<String, Ctr>,
    /// The pod failed as a whole, whatever its containers do.
    pub(crate) failed: Option<Why>,
    /// The node has not taken it: it never had anything here.
    rejected: bool,
    pub(crate) start_time: Timestamp,
    pub(crate) node: Arc<NodeFacts>,
    pub(crate) volumes: Retry,
    pub(crate) sandbox: Retry,
    pub(crate) resize: resize::State,
    /// Of stopping and removing containers and sandboxes.
    stop: Retry,
    volumes_ready: bool,
    refresh_at: Timestamp,
    finish: Retry,
    /// There is no API object (any more).
    gone: bool,
    /// The grace period of the last attempt at killing a container, until it has succeeded.
    kill_grace: BTreeMap<String, i64>,
    epoch: u64,
    stale: bool,
    /// When the runtime was away: the next look.
    look_at: Option<Timestamp>,
    busy: BTreeSet<Key>,
    wake: Option<Timestamp>,
    published: Option<PodStatus>,
    /// The pod's revision after the last write; `None` while a status is on its way.
    written: Option<u64>,
    /// A version of the pod came whose status was not yet compared with ours.
    unread: bool,
    /// The object was let go, and finalizers keep it.
    held: bool,
}

impl Worker {
    /// A worker for a pod that the node has accepted. `failed`: it was refused, with the reason.
    #[must_use]
    pub fn new(pod: Arc<Pod>, node: Arc<NodeFacts>, failed: Option<Why>, now: Timestamp) -> Self {
        let start_time = pod.status.as_ref().and_then(|s| s.start_time.as_ref()).map_or(now, |t| t.0);
        Worker {
            pod,
            stage: Stage::Syncing,
            view: None,
            containers: BTreeMap::new(),
            rejected: failed.is_some(),
            failed,
            start_time,
            node,
            volumes: Retry::default(),
            sandbox: Retry::default(),
            resize: resize::State::default(),
            stop: Retry::default(),
            volumes_ready: false,
            refresh_at: now,
            finish: Retry::default(),
            gone: false,
            kill_grace: BTreeMap::new(),
            epoch: 0,
            stale: true,
            look_at: None,
            busy: BTreeSet::new(),
            wake: None,
            published: None,
            written: None,
            unread: false,
            held: false,
        }
    }

    /// Whether the node has not taken the pod.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.rejected
    }

    /// The pod as last seen.
    #[must_use]
    pub fn pod(&self) -> &Arc<Pod> {
        &self.pod
    }

    /// Where the pod is in its life here.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What the runtime has, as far as known.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// When the worker wants a tick at the latest.
    #[must_use]
    pub fn wake(&self) -> task::Wake {
        self.wake
    }

    /// Takes one input and says what follows from it.
    pub fn step(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        let mut out = Vec::new();
        self.wake = None;
        match input {
            Input::Pod(pod) => self.take_pod(pod, now),
            Input::Gone => self.gone = true,
            Input::Outline(outline) => {
                let same = self.view.as_ref().is_some_and(|v| v.outline() == outline);
                self.stale |= !same && !self.changing();
            }
            Input::Done(task, outcome) => self.take_outcome(task, outcome, now, &mut out),
            Input::Written(revision) => self.written = Some(revision),
            Input::Tick => {}
        }
        if let Some(at) = self.look_at {
            if at <= now {
                self.look_at = None;
                self.stale = true;
            } else {
                self.wake_at(at);
            }
        }
        self.decide(now, &mut out);
        self.publish(now, &mut out);
        out
    }

    fn take_pod(&mut self, pod: Arc<Pod>, now: Timestamp) {
        let old = &self.pod.metadata;
        let new = &pod.metadata;
        if old.labels != new.labels || old.annotations != new.annotations {
            self.refresh_at = now;
        }
        self.pod = pod;
        self.unread = true;
    }

    /// Whether a task under way is about to change what the runtime has.
    fn changing(&self) -> bool {
        self.busy.iter().any(|k| matches!(k, Key::Sandbox | Key::Start(_) | Key::Remove(_)))
    }

    pub(crate) fn run(&mut self, task: Task, out: &mut Vec<Effect>) -> bool {
        if !self.busy.insert(task.key()) {
            return false;
        }
        out.push(Effect::Do(task));
        true
    }

    /// Whether something may be stopped or removed now; where not, asks to be woken when it may.
    fn may_stop(&mut self, now: Timestamp) -> bool {
        let open = self.stop.open(now);
        if let Some(at) = self.stop.at.filter(|_| !open) {
            self.wake_at(at);
        }
        open
    }

    pub(crate) fn is_busy(&self, key: &Key) -> bool {
        self.busy.contains(key)
    }

    /// Asks to be woken at `at`.
    pub(crate) fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    pub(crate) fn ctr(&mut self, name: &str) -> &mut Ctr {
        self.containers.entry(name.to_owned()).or_default()
    }

    /// Whether the container instance has passed its startup probe and its postStart hook.
    #[must_use]
    pub(crate) fn is_started(&self, name: &str, id: &str) -> bool {
        let Some(spec) = self.pod.container(name) else { return false };
        let ctr = self.containers.get(name);
        let hook = spec.lifecycle.as_ref().is_some_and(|l| l.post_start.is_some());
        if hook && ctr.and_then(|c| c.post_start_done.as_deref()) != Some(id) {
            return false;
        }
        self.probe_ok(name, id, Kind::Startup)
    }

    /// The result in force of a probe; true where there is none.
    #[must_use]
    pub(crate) fn probe_ok(&self, name: &str, id: &str, kind: Kind) -> bool {
        let Some(spec) = self.pod.container(name) else { return false };
        if probes::probe_of(&spec, kind).is_none() {
            return true;
        }
        let state =
            self.containers.get(name).and_then(|c| c.probes.iter().find(|p| p.id == id && p.kind == kind));
        state.map_or(kind == Kind::Liveness, |p| p.ok)
    }

    fn publish(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.view.is_none() || self.gone || self.held || self.stage == Stage::Done {
            return;
        }
        let status = status::compute(self, self.published.as_ref(), now);
        if self.published.as_ref() != Some(&status) || self.was_overwritten(&status) {
            self.published = Some(status.clone());
            self.written = None;
            out.push(Effect::Status(Box::new(status)));
        }
    }

    /// Whether somebody else has changed what we wrote: node lifecycle, when it took this node for dead. Versions of
    /// the pod from before our last write tell nothing of that.
    fn was_overwritten(&mut self, status: &PodStatus) -> bool {
        let seen = self.pod.metadata.resource_version.as_deref().and_then(|r| r.parse::<u64>().ok());
        if self.written.is_none_or(|written| seen.unwrap_or(0) < written) {
            return false;
        }
        std::mem::take(&mut self.unread) && !status::is_told(self.pod.status.as_ref(), status)
    }

    /// The status as last published.
    #[must_use]
    pub fn published(&self) -> Option<&PodStatus> {
        self.published.as_ref()
    }
}

/// A timestamp out of nanoseconds.
#[must_use]
pub fn time_of(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub use restart::again as restart_again;

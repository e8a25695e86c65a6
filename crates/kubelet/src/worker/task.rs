//! What a worker wants done, and what comes back.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus, ResourceRequirements};

use super::probes::{Kind, Verdict};
use super::view::{ContainerView, Outline, SandboxView, View};

/// Work for the shell. At most one task per [`Key`] is under way.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Read the pod's sandboxes and containers. The epoch comes back with the view.
    Inspect {
        epoch: u64,
    },
    /// Cgroup, directories, volumes.
    Prepare,
    /// Bring the contents of volumes up to date.
    Refresh,
    RunSandbox {
        attempt: u32,
    },
    StopSandbox {
        id: String,
    },
    /// Removes the sandbox and its containers.
    RemoveSandbox {
        id: String,
    },
    /// Make the container's image present.
    Image {
        container: String,
    },
    /// Create and start. `restart_count` names the new container.
    Start {
        container: String,
        sandbox: SandboxView,
        restart_count: u32,
        image: Image,
        /// Id of the container whose process namespace it joins.
        target: Option<String>,
    },
    PostStart {
        container: String,
        id: String,
    },
    Kill {
        container: String,
        id: String,
        grace_seconds: i64,
        pre_stop: bool,
        message: String,
    },
    /// Give running containers the resources of the spec.
    Resize {
        changes: Vec<Change>,
    },
    /// Remove a dead container.
    Remove {
        id: String,
    },
    Probe {
        container: String,
        id: String,
        kind: Kind,
        ip: String,
    },
    /// Take down volumes and cgroup. With `logs`, everything that the pod has on the machine.
    Cleanup {
        logs: bool,
    },
    /// Write the final status, then delete the API object for good.
    Finish {
        status: Box<PodStatus>,
    },
}

/// A container whose resources are to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub container: String,
    pub id: String,
    pub before: ResourceRequirements,
    /// It gets them by being started anew.
    pub restart: bool,
}

/// What became of a resize.
#[derive(Clone, Debug, PartialEq)]
pub enum Resized {
    /// What each container of the task has now, or is to be started with.
    Done(Vec<ResourceRequirements>),
    /// The node has no room, now (`Deferred`) or ever (`Infeasible`).
    Pending(Why),
    Failed(String),
}

/// Identity of a task under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Inspect,
    Volumes,
    Sandbox,
    Image(String),
    Start(String),
    PostStart(String),
    /// The number sets a second, shorter kill apart.
    Kill(String, i64),
    Resize,
    Remove(String),
    Probe(String, Kind),
    Cleanup,
    Finish,
}

impl Task {
    /// The task's identity.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Task::Inspect { .. } => Key::Inspect,
            Task::Prepare | Task::Refresh => Key::Volumes,
            Task::RunSandbox { .. } | Task::StopSandbox { .. } | Task::RemoveSandbox { .. } => Key::Sandbox,
            Task::Image { container } => Key::Image(container.clone()),
            Task::Start { container, .. } => Key::Start(container.clone()),
            Task::PostStart { id, .. } => Key::PostStart(id.clone()),
            Task::Kill { id, grace_seconds, .. } => Key::Kill(id.clone(), *grace_seconds),
            Task::Resize { .. } => Key::Resize,
            Task::Remove { id } => Key::Remove(id.clone()),
            Task::Probe { id, kind, .. } => Key::Probe(id.clone(), *kind),
            Task::Cleanup { .. } => Key::Cleanup,
            Task::Finish { .. } => Key::Finish,
        }
    }
}

/// An image that is present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// What to run it by.
    pub reference: String,
    pub uid: Option<i64>,
    pub username: String,
    pub size_bytes: u64,
}

/// A reason word with a message, as in `state.waiting`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub reason: String,
    pub message: String,
}

impl Why {
    /// Both parts.
    #[must_use]
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Why { reason: reason.to_owned(), message: message.into() }
    }
}

/// A failed step of the whole pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The event's reason.
    pub event: &'static str,
    pub message: String,
}

/// What became of an API object that was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It is gone, or another one has its name.
    Gone,
    /// Somebody's finalizers keep it.
    Held,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    View(Result<View, String>),
    Prepared(Result<(), String>),
    Sandbox(Result<SandboxView, Failure>),
    SandboxStopped(Result<(), String>),
    SandboxRemoved(Result<(), String>),
    Image(Result<Image, Why>),
    Started(Result<ContainerView, Why>),
    PostStart(Result<(), String>),
    /// The container after its end, if the runtime still knows it.
    Killed(Result<Option<ContainerView>, String>),
    Resized(Resized),
    Removed(Result<(), String>),
    Probe(Verdict),
    Cleaned(Result<(), String>),
    Finished(Result<Finished, String>),
}

/// What reaches a worker.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "moved once, through a queue")]
pub enum Input {
    /// A newer version of the pod.
    Pod(Arc<Pod>),
    /// The API object is gone, and this is no reason to wait for anything but the containers' end.
    Gone,
    /// What a cheap list of the runtime shows.
    Outline(Outline),
    /// The newest status was written; the pod then had this revision.
    Written(u64),
    /// A task ended.
    Done(Task, Outcome),
    /// Time passed, or nothing but a look is wanted.
    Tick,
}

/// What a worker asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Do(Task),
    /// An event about the pod, or about one of its containers.
    Event {
        warning: bool,
        reason: &'static str,
        message: String,
        container: Option<String>,
    },
    /// Publish the status.
    Status(Box<PodStatus>),
    /// The worker is finished and may be forgotten.
    Forget,
}

/// When the worker wants a [`Input::Tick`] at the latest.
pub type Wake = Option<Timestamp>;

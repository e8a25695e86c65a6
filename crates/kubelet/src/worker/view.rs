//! What the runtime has of one pod, in the few facts that decisions and statuses need.

use cri::v1;

use crate::spec::container::{HASH, RESTART_COUNT};
use crate::spec::sandbox::CONTAINER_NAME;

/// State of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CState {
    Created,
    Running,
    Exited,
    Unknown,
}

impl CState {
    /// From the protocol's number.
    #[must_use]
    pub fn of(state: i32) -> Self {
        match v1::ContainerState::try_from(state) {
            Ok(v1::ContainerState::ContainerCreated) => CState::Created,
            Ok(v1::ContainerState::ContainerRunning) => CState::Running,
            Ok(v1::ContainerState::ContainerExited) => CState::Exited,
            _ => CState::Unknown,
        }
    }
}

/// One container, dead or alive. Times are nanoseconds since 1970, 0: not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    pub id: String,
    pub name: String,
    pub sandbox_id: String,
    pub state: CState,
    pub created_at: i64,
    pub started_at: i64,
    pub finished_at: i64,
    pub exit_code: i32,
    pub reason: String,
    /// The runtime's or the termination message.
    pub message: String,
    pub image: String,
    pub image_id: String,
    pub restart_count: u32,
    pub hash: String,
    pub user: Option<(i64, i64, Vec<i64>)>,
}

/// One sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxView {
    pub id: String,
    pub attempt: u32,
    pub ready: bool,
    pub created_at: i64,
    pub ips: Vec<String>,
}

/// All of a pod, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub sandboxes: Vec<SandboxView>,
    pub containers: Vec<ContainerView>,
}

/// Ids with states, as a cheap list shows them: to see whether a [`View`] is still true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Sorted.
    pub sandboxes: Vec<(String, bool)>,
    /// Sorted.
    pub containers: Vec<(String, CState)>,
}

impl View {
    /// The newest container of that name.
    #[must_use]
    pub fn latest(&self, name: &str) -> Option<&ContainerView> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// The second newest container of that name.
    #[must_use]
    pub fn previous(&self, name: &str) -> Option<&ContainerView> {
        self.containers.iter().filter(|c| c.name == name).nth(1)
    }

    /// A container by id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&ContainerView> {
        self.containers.iter().find(|c| c.id == id)
    }

    /// The newest sandbox, when it is ready.
    #[must_use]
    pub fn ready_sandbox(&self) -> Option<&SandboxView> {
        self.sandboxes.first().filter(|s| s.ready)
    }

    /// Puts one container's new state in place.
    pub fn put(&mut self, c: ContainerView) {
        match self.containers.iter_mut().find(|have| have.id == c.id) {
            Some(slot) => *slot = c,
            None => self.containers.push(c),
        }
        self.sort();
    }

    /// Newest first.
    pub fn sort(&mut self) {
        self.containers.sort_by_key(|c| std::cmp::Reverse((c.restart_count, c.created_at)));
        // By attempt first: a runtime that could not make one says that it is of the year 1.
        self.sandboxes.sort_by_key(|s| std::cmp::Reverse((s.attempt, s.created_at)));
    }

    /// The outline of this view.
    #[must_use]
    pub fn outline(&self) -> Outline {
        let mut o = Outline {
            sandboxes: self.sandboxes.iter().map(|s| (s.id.clone(), s.ready)).collect(),
            containers: self.containers.iter().map(|c| (c.id.clone(), c.state)).collect(),
        };
        o.sandboxes.sort();
        o.containers.sort();
        o
    }
}

/// A container's view from its status; `sandbox_id` is only in lists.
#[must_use]
pub fn container(status: &v1::ContainerStatus, sandbox_id: &str) -> ContainerView {
    let image = status.image.as_ref();
    let shown =
        image.map(|i| if i.user_specified_image.is_empty() { &i.image } else { &i.user_specified_image });
    let annotation = |k: &str| status.annotations.get(k).cloned().unwrap_or_default();
    let linux = status.user.as_ref().and_then(|u| u.linux.as_ref());
    ContainerView {
        id: status.id.clone(),
        name: status.labels.get(CONTAINER_NAME).cloned().unwrap_or_default(),
        sandbox_id: sandbox_id.to_owned(),
        state: CState::of(status.state),
        created_at: status.created_at,
        started_at: status.started_at,
        finished_at: status.finished_at,
        exit_code: status.exit_code,
        reason: status.reason.clone(),
        message: status.message.clone(),
        image: shown.cloned().unwrap_or_default(),
        image_id: if status.image_ref.is_empty() {
            status.image_id.clone()
        } else {
            status.image_ref.clone()
        },
        restart_count: annotation(RESTART_COUNT).parse().unwrap_or(0),
        hash: annotation(HASH),
        user: linux.map(|u| (u.uid, u.gid, u.supplemental_groups.clone())),
    }
}

/// A sandbox's view from its status.
#[must_use]
pub fn sandbox(status: &v1::PodSandboxStatus) -> SandboxView {
    let mut ips = Vec::new();
    if let Some(n) = &status.network {
        ips.extend((!n.ip.is_empty()).then(|| n.ip.clone()));
        ips.extend(n.additional_ips.iter().map(|i| i.ip.clone()));
    }
    SandboxView {
        id: status.id.clone(),
        attempt: status.metadata.as_ref().map_or(0, |m| m.attempt),
        ready: status.state == v1::PodSandboxState::SandboxReady as i32,
        created_at: status.created_at,
        ips,
    }
}

//! The status of each container.
// k8s: pkg/kubelet/kubelet_pods.go convertToAPIContainerStatuses

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, LinuxContainerUser, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::whole_seconds;
use crate::spec::container::is_wholly_read_only;
use crate::spec::{PodExt, is_sidecar};
use crate::worker::probes::Kind;
use crate::worker::view::{CState, ContainerView};
use crate::worker::{Stage, Worker, restart_again, time_of};

/// One status for each container of the spec, in its order.
#[must_use]
pub fn statuses(w: &Worker, containers: &[Container], init: bool) -> Vec<ContainerStatus> {
    containers.iter().map(|c| status(w, c, init)).collect()
}

/// The statuses of the ephemeral containers: they have no probes and are never called ready.
// k8s: pkg/kubelet/prober/prober_manager.go UpdatePodStatus
#[must_use]
pub fn ephemeral(w: &Worker) -> Vec<ContainerStatus> {
    let mut all = statuses(w, &w.pod.ephemeral(), false);
    for s in &mut all {
        s.ready = false;
        s.started = None;
    }
    all
}

fn status(w: &Worker, c: &Container, init: bool) -> ContainerStatus {
    let latest = w.view.as_ref().and_then(|v| v.latest(&c.name));
    let mut out = ContainerStatus {
        name: c.name.clone(),
        image: c.image.clone().unwrap_or_default(),
        started: Some(false),
        ..ContainerStatus::default()
    };
    match latest {
        Some(v) => of_view(w, c, v, init, &mut out),
        None => absent(w, c, &mut out),
    }
    if init && !is_sidecar(c) {
        out.ready = out.state.as_ref().and_then(|s| s.terminated.as_ref()).is_some_and(|t| t.exit_code == 0);
        out.started = Some(false);
    }
    out.volume_mounts = mounts(c, w.node.recursive_read_only);
    out
}

fn container_id(w: &Worker, id: &str) -> String {
    format!("{}://{id}", w.node.runtime)
}

/// A container that never ran started in 1970, as upstream says.
fn time(nanos: i64) -> Option<Time> {
    Some(Time(whole_seconds(time_of(nanos.max(0)))))
}

fn terminated(w: &Worker, v: &ContainerView) -> ContainerState {
    let default = if v.exit_code == 0 { "Completed" } else { "Error" };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(container_id(w, &v.id)),
            exit_code: v.exit_code,
            finished_at: time(v.finished_at),
            message: (!v.message.is_empty()).then(|| v.message.clone()),
            reason: Some(if v.reason.is_empty() { default.to_owned() } else { v.reason.clone() }),
            signal: None,
            started_at: time(v.started_at),
        }),
        ..ContainerState::default()
    }
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..ContainerState::default()
    }
}

fn of_view(w: &Worker, c: &Container, v: &ContainerView, init: bool, out: &mut ContainerStatus) {
    out.restart_count = i32::try_from(v.restart_count).unwrap_or(i32::MAX);
    out.container_id = Some(container_id(w, &v.id));
    if !v.image.is_empty() {
        out.image.clone_from(&v.image);
    }
    out.image_id.clone_from(&v.image_id);
    out.last_state = w.view.as_ref().and_then(|view| view.previous(&c.name)).map(|p| terminated(w, p));
    match v.state {
        CState::Running => {
            let started = w.is_started(&c.name, &v.id);
            out.started = Some(started);
            out.ready = started && w.probe_ok(&c.name, &v.id, Kind::Readiness);
            out.state = Some(ContainerState {
                running: Some(ContainerStateRunning { started_at: time(v.started_at) }),
                ..ContainerState::default()
            });
            out.user = v.user.as_ref().map(|(uid, gid, groups)| ContainerUser {
                linux: Some(LinuxContainerUser {
                    uid: *uid,
                    gid: *gid,
                    supplemental_groups: Some(groups.clone()),
                }),
            });
            let has = w.applied(&c.name, &v.id).or_else(|| c.resources.clone());
            if let Some(r) = has.filter(|r| r.requests.is_some() || r.limits.is_some()) {
                out.allocated_resources.clone_from(&r.requests);
                out.resources = Some(r);
            }
        }
        CState::Created => out.state = Some(waiting("ContainerCreating", None)),
        CState::Exited | CState::Unknown => {
            let dead = terminated(w, v);
            let again = if init && !is_sidecar(c) {
                v.exit_code != 0 && restart_again(&w.pod, c, v.exit_code)
            } else {
                restart_again(&w.pod, c, v.exit_code)
            };
            let why = w.containers.get(&c.name).and_then(|s| s.waiting.as_ref());
            match why.filter(|_| again && w.stage == Stage::Syncing) {
                Some(why) => {
                    out.state = Some(waiting(&why.reason, Some(why.message.clone())));
                    out.last_state = Some(dead);
                }
                None => out.state = Some(dead),
            }
        }
    }
}

/// The runtime has no such container: it is yet to come, or its record is lost.
fn absent(w: &Worker, c: &Container, out: &mut ContainerStatus) {
    let old = w.old_status(&c.name);
    let old_state = old.and_then(|o| o.state.as_ref());
    if let Some(o) = old {
        out.restart_count = o.restart_count;
    }
    if let Some(o) = old
        && old_state.is_some_and(|s| s.terminated.is_some())
        && (w.stage > Stage::Syncing || settled(w, c, o))
    {
        *out = o.clone();
        out.ready = false;
        return;
    }
    if old_state.is_some_and(|s| s.running.is_some()) && w.stage > Stage::Syncing {
        out.container_id = old.and_then(|o| o.container_id.clone());
        out.state = Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 137,
                reason: Some("ContainerStatusUnknown".to_owned()),
                message: Some("The container could not be located when the pod was terminated".to_owned()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        });
        return;
    }
    let default = if w.pod.sp().init_containers.as_ref().is_some_and(|l| !l.is_empty()) {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    let why = w.containers.get(&c.name).and_then(|s| s.waiting.as_ref());
    out.state = Some(match why {
        Some(why) => waiting(&why.reason, Some(why.message.clone())),
        None => waiting(default, None),
    });
}

/// An init container that was done, or an ephemeral one that has ended, with its record gone.
fn settled(w: &Worker, c: &Container, old: &ContainerStatus) -> bool {
    if w.pod.sp().ephemeral_containers.iter().flatten().any(|e| e.name == c.name) {
        return true;
    }
    let done = old.state.as_ref().and_then(|s| s.terminated.as_ref()).is_some_and(|t| t.exit_code == 0);
    let is_init = w.pod.sp().init_containers.iter().flatten().any(|i| i.name == c.name);
    let current = w.view.as_ref().and_then(|v| v.sandboxes.first());
    done && is_init && current.is_some_and(|s| w.initialized(&s.id))
}

fn mounts(c: &Container, recursive: bool) -> Option<Vec<VolumeMountStatus>> {
    let all = c.volume_mounts.as_ref()?;
    let one = |m: &k8s_openapi::api::core::v1::VolumeMount| {
        let whole = is_wholly_read_only(m, recursive).unwrap_or(false);
        let mode = if whole { "Enabled" } else { "Disabled" };
        VolumeMountStatus {
            name: m.name.clone(),
            mount_path: m.mount_path.clone(),
            read_only: m.read_only.filter(|r| *r),
            recursive_read_only: m.read_only.filter(|r| *r).map(|_| mode.to_owned()),
            ..VolumeMountStatus::default()
        }
    };
    Some(all.iter().map(one).collect())
}

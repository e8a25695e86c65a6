//! What controllers read of pods, and what they agree to call active, ready and available.
// k8s: pkg/api/v1/pod/util.go, pkg/controller/controller_utils.go

use std::cmp::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{IndexSink, ObjectMeta, Projection, time};
use serde::{Deserialize, Deserializer, Serialize};

use super::affinity::Affinity;
use super::condition::{Condition, find, is_true};
use crate::shared::workload::index_by_owner;
pub use crate::shared::workload::{BY_CONTROLLER, BY_ORPHAN};

/// `pods`.
pub const PODS: Gvr = Gvr::new("", "v1", "pods");

/// Index: pods by node; those without a node under the empty name.
pub const BY_NODE: &str = "node";

/// The annotation that makes a pod go first when a replica set shrinks.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// How the annotations begin that jobs keep in their pods.
const OF_JOBS: &str = "batch.kubernetes.io/job-";

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: ObjectMeta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub node_name: Box<str>,
    pub hostname: Box<str>,
    pub subdomain: Box<str>,
    pub containers: Box<[Container]>,
    pub init_containers: Box<[Container]>,
    pub tolerations: Box<[Toleration]>,
    /// The node that its required affinity names. Only of pods of daemon sets, and of those that nobody manages.
    #[serde(rename = "affinity", deserialize_with = "pinned_to")]
    pub pinned_to: Box<str>,
    /// Only claims, and only of pods of stateful sets.
    pub volumes: Box<[Volume]>,
}

fn pinned_to<'de, D: Deserializer<'de>>(d: D) -> Result<Box<str>, D::Error> {
    let affinity: Option<Affinity> = Option::deserialize(d)?;
    Ok(affinity.as_ref().and_then(Affinity::named).unwrap_or_default().into())
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    pub name: Box<str>,
    pub persistent_volume_claim: Option<ClaimSource>,
}

/// A claim as a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSource {
    pub claim_name: Box<str>,
}

impl Volume {
    /// The claim that it is.
    #[must_use]
    pub fn claim(&self) -> Option<&str> {
        self.persistent_volume_claim.as_ref().map(|c| &*c.claim_name)
    }
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: Box<str>,
    pub ports: Box<[ContainerPort]>,
    pub restart_policy: Option<Box<str>>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    pub name: Box<str>,
    pub container_port: i32,
    pub protocol: Box<str>,
}

/// A toleration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub key: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub operator: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub value: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub effect: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

/// Its status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Box<str>,
    pub reason: Box<str>,
    #[serde(rename = "podIP")]
    pub pod_ip: Box<str>,
    #[serde(rename = "podIPs")]
    pub pod_ips: Box<[PodIp]>,
    pub conditions: Box<[Condition]>,
    pub container_statuses: Box<[ContainerStatus]>,
    /// Only of pods of jobs.
    pub init_container_statuses: Box<[ContainerStatus]>,
}

/// An address of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodIp {
    pub ip: Box<str>,
}

/// The status of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Only of pods of jobs, as the state.
    pub name: Box<str>,
    pub restart_count: i32,
    pub state: ContainerState,
}

/// What a container does.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerState {
    pub terminated: Option<Box<Terminated>>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    pub exit_code: i32,
    pub finished_at: Option<Timestamp>,
}

impl Projection for Pod {
    const GVR: Gvr = PODS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn indexes(&self, sink: &mut IndexSink) {
        index_by_owner(&self.metadata, sink);
        sink.add(BY_NODE, &self.spec.node_name);
    }

    fn compact(&mut self) {
        self.metadata.annotations.retain(|k| k == DELETION_COST || k.starts_with(OF_JOBS));
        if self.metadata.controller().is_some_and(|o| !o.is_a("apps", "DaemonSet")) {
            self.spec.pinned_to = "".into();
        }
        if !self.metadata.controller().is_some_and(|o| o.is_a("batch", "Job")) {
            self.spec.containers.iter_mut().for_each(|c| c.name = "".into());
            self.status.init_container_statuses = Box::default();
            for c in &mut self.status.container_statuses {
                (c.name, c.state) = ("".into(), ContainerState::default());
            }
        }
        let kept = self.metadata.controller().is_some_and(|o| o.is_a("apps", "StatefulSet"));
        if !kept {
            self.spec.volumes = Box::default();
        } else if self.spec.volumes.iter().any(|v| v.claim().is_none()) {
            self.spec.volumes = self.spec.volumes.iter().filter(|v| v.claim().is_some()).cloned().collect();
        }
        for c in &mut self.status.conditions {
            c.message = "".into();
            c.last_probe_time = None;
        }
    }
}

impl Pod {
    /// Whether it has come to its end.
    #[must_use]
    pub fn finished(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    /// Neither finished nor being deleted.
    #[must_use]
    pub fn active(&self) -> bool {
        !self.finished() && !self.metadata.deleting()
    }

    /// Being deleted and not finished.
    #[must_use]
    pub fn terminating(&self) -> bool {
        !self.finished() && self.metadata.deleting()
    }

    /// Whether its `Ready` condition is true.
    #[must_use]
    pub fn ready(&self) -> bool {
        is_true(&self.status.conditions, "Ready")
    }

    /// Since when it is ready; `None` when it is not.
    #[must_use]
    pub fn ready_since(&self) -> Option<Timestamp> {
        let c = find(&self.status.conditions, "Ready").filter(|c| &*c.status == "True")?;
        Some(c.last_transition_time.unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// When it counts or will count as available if it stays ready; `None` when it is not ready.
    #[must_use]
    pub fn available_at(&self, min_ready_seconds: i32) -> Option<Timestamp> {
        let since = self.ready_since()?;
        let wait = Duration::from_secs(u64::try_from(min_ready_seconds).unwrap_or(0));
        Some(time::after(since, wait))
    }

    /// Whether it has been ready for long enough.
    #[must_use]
    pub fn available(&self, min_ready_seconds: i32, now: Timestamp) -> bool {
        self.available_at(min_ready_seconds).is_some_and(|t| min_ready_seconds <= 0 || t <= now)
    }

    fn deletion_cost(&self) -> i32 {
        self.metadata.annotations.get(DELETION_COST).and_then(|v| v.parse().ok()).unwrap_or(0)
    }

    fn restarts(&self) -> i32 {
        self.status.container_statuses.iter().map(|c| c.restart_count).max().unwrap_or(0)
    }
}

/// `Less`: `a` is deleted before `b`. The ranks say how many related pods are on the same node.
///
/// Upstream does not ask which pods are ready for `min_ready_seconds`. A deployment that shrinks an old
/// replica set by its unavailable pods relies on it that those go, so here they go before available ones,
/// unless a deletion cost says otherwise.
// k8s: pkg/controller/controller_utils.go ActivePodsWithRanks.Less
#[must_use]
pub fn deletion_order(
    a: (&Pod, usize),
    b: (&Pod, usize),
    min_ready_seconds: i32,
    now: Timestamp,
) -> Ordering {
    let (p, q) = (a.0, b.0);
    let phase = |p: &Pod| match &*p.status.phase {
        "Pending" | "" => 0,
        "Running" => 2,
        _ => 1,
    };
    // Younger first, by powers of two of the age, so that small differences do not decide.
    let log_age = |t: Option<Timestamp>| {
        let seconds = t.map_or(0.0, |t| time::seconds_between(t, now));
        if seconds < 1.0 { -1 } else { seconds.log2() as i32 }
    };
    let scheduled = |p: &Pod| !p.spec.node_name.is_empty();
    scheduled(p)
        .cmp(&scheduled(q))
        .then(phase(p).cmp(&phase(q)))
        .then(p.ready().cmp(&q.ready()))
        .then(p.deletion_cost().cmp(&q.deletion_cost()))
        .then(p.available(min_ready_seconds, now).cmp(&q.available(min_ready_seconds, now)))
        .then(b.1.cmp(&a.1))
        .then_with(|| match (p.ready_since(), q.ready_since()) {
            (Some(x), Some(y)) => log_age(Some(x)).cmp(&log_age(Some(y))),
            _ => Ordering::Equal,
        })
        .then(q.restarts().cmp(&p.restarts()))
        .then_with(|| log_age(p.metadata.creation_timestamp).cmp(&log_age(q.metadata.creation_timestamp)))
        .then_with(|| p.metadata.uid.cmp(&q.metadata.uid))
}

//! The store's truth, followed change by change, with the rules that every change must keep. Nothing here
//! shares code with what it checks but the projections.

mod availability;
mod end;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use controllers::apps::types::{Deployment, ReplicaSet};
use controllers::core::pod::Pod;
use parking_lot::Mutex;
use reconcile::{Key, Partial};
use serde_json::Value;
use store::{Event, EventKind, EventSink, Events};

pub(crate) use rules::bounds;

use crate::judge::Seen;

/// Keeps what the store has told until the world takes it.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// Everything since the last call, in commit order.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl EventSink for Recorder {
    fn apply(&self, events: &Events) {
        self.0.lock().extend(events.iter().cloned());
    }
}

/// A number with its past, which a component that lags may still act on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    /// Values with the revision that ended them, newest last.
    old: Vec<(u64, i64)>,
    pub(crate) now: i64,
}

impl Past {
    fn set(&mut self, value: i64, revision: u64) {
        if value != self.now {
            self.old.push((revision, self.now));
            self.now = value;
        }
    }

    /// The largest value since somebody's state of knowledge.
    pub(crate) fn most(&self, seen: u64) -> i64 {
        let old = self.old.iter().filter(|(ended, _)| *ended > seen);
        old.map(|(_, v)| *v).fold(self.now, i64::max)
    }
}

/// A pod as the controllers and as the scheduler read it.
#[derive(Clone, Debug)]
pub struct PodTruth {
    pub pod: Pod,
    pub(crate) info: scheduler::PodInfo,
    /// The revision of its bind, and whether the scheduler could not reckon with that any more.
    bound: (u64, bool),
}

/// A replica set with its past.
#[derive(Clone, Debug, Default)]
pub struct SetTruth {
    pub set: ReplicaSet,
    replicas: Past,
}

/// A deployment with its past.
#[derive(Clone, Debug, Default)]
pub struct DeploymentTruth {
    pub deployment: Deployment,
    /// Replicas and surge together.
    most: Past,
    /// Replicas without those that may be unavailable.
    least: i64,
    /// Whether its availability counts: see `availability`.
    settled: bool,
}

/// A node with its room.
#[derive(Clone, Debug)]
pub struct NodeTruth {
    pub uid: Arc<str>,
    pub ready: bool,
    pub unschedulable: bool,
    pub tainted: bool,
    pub(crate) room: scheduler::resources::Amounts,
    pub(crate) pods: i64,
}

/// Any object, by its metadata.
#[derive(Clone, Debug)]
pub struct AnyTruth {
    pub meta: reconcile::ObjectMeta,
    pub kind: Box<str>,
    /// The revision of the last write.
    pub revision: u64,
}

/// Who made a change, as far as the rules must know.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The controller; empty when it is none of those that are watched.
    pub who: &'static str,
    /// What it had read when it decided.
    pub seen: Seen,
    /// Whether it had given up before its request arrived.
    pub late: bool,
    /// Whether it has crashed since.
    pub abandoned: bool,
}

impl Default for Sender {
    fn default() -> Self {
        Sender { who: "", seen: Seen::ALL, late: false, abandoned: false }
    }
}

impl Sender {
    /// Whether whoever decides next may not have reckoned with this.
    fn unheard(&self) -> bool {
        self.late || self.abandoned
    }
}

/// See the module.
#[derive(Default)]
pub struct Truth {
    pub pods: BTreeMap<Key, PodTruth>,
    pub sets: BTreeMap<Key, SetTruth>,
    pub deployments: BTreeMap<Key, DeploymentTruth>,
    pub nodes: BTreeMap<String, NodeTruth>,
    /// Every object by its store key.
    pub all: BTreeMap<String, AnyTruth>,
    /// Endpoint slices and services, whole.
    pub slices: BTreeMap<String, Value>,
    pub services: BTreeMap<Key, Value>,
    pub revision: u64,
    /// Who makes the changes that are applied.
    pub sender: Sender,
    /// Growth by requests that their senders could not reckon with any more: when (by revision), what of (the
    /// UID of a deployment or a replica set), how much.
    surprises: Vec<(u64, Arc<str>, i64)>,
    /// Pods that were there once.
    gone: BTreeSet<Key>,
    /// Counters for the report: pods created, pods bound, pods taken away whose availability counted.
    pub created: u64,
    pub bound: u64,
    pub weighed: u64,
}

/// `/registry/<resource>/...` or `/registry/<group>/<resource>/...`: the resource and the rest.
fn split(key: &str) -> (&str, &str) {
    let rest = key.strip_prefix("/registry/").unwrap_or(key);
    let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
    if first.contains('.') || matches!(first, "apps" | "batch" | "policy" | "autoscaling") {
        return rest.split_once('/').unwrap_or((rest, ""));
    }
    (first, rest)
}

impl Truth {
    /// Takes in a change of the store.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn apply(&mut self, e: &Event, at: i64) -> Result<(), String> {
        if e.revision < self.revision {
            return Err(format!("revision {} came after {}", e.revision, self.revision));
        }
        self.revision = e.revision;
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        if e.kind == EventKind::Delete {
            return self.deleted(&e.key, at);
        }
        let partial =
            Partial::parse(&e.value).map_err(|err| format!("{}: {err}: {}", e.key, text(&e.value)))?;
        if e.prev.is_none() {
            self.created(e, &partial)?;
        }
        let any =
            AnyTruth { meta: partial.metadata.clone(), kind: partial.kind.clone(), revision: e.revision };
        self.all.insert(e.key.to_string(), any);
        let (resource, _) = split(&e.key);
        let key = partial.metadata.key();
        let read = |err: serde_json::Error| format!("{}: {err}", e.key);
        match resource {
            "pods" => {
                let pod: Pod = meta::json::read(&e.value).map_err(read)?;
                let full: scheduler::Pod = meta::json::read(&e.value).map_err(read)?;
                self.pod_changed(
                    key,
                    PodTruth { pod, info: scheduler::PodInfo::new(&full), bound: (0, false) },
                    at,
                )
            }
            "replicasets" => self.set_changed(key, meta::json::read(&e.value).map_err(read)?),
            "deployments" => self.deployment_changed(key, meta::json::read(&e.value).map_err(read)?, at),
            "minions" | "nodes" => {
                let node: scheduler::Node = meta::json::read(&e.value).map_err(read)?;
                let state: controllers::core::node::Node = meta::json::read(&e.value).map_err(read)?;
                self.nodes.insert(key.name.to_string(), NodeTruth::of(&node, &state));
                Ok(())
            }
            "endpointslices" => {
                self.slices.insert(e.key.to_string(), meta::json::read(&e.value).map_err(read)?);
                Ok(())
            }
            "services" => {
                if let Ok(v) = serde_json::from_slice::<Value>(&e.value)
                    && v["kind"] == "Service"
                {
                    self.services.insert(key, v);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn deleted(&mut self, key: &str, at: i64) -> Result<(), String> {
        let Some(any) = self.all.remove(key) else {
            return Err(format!("{key} was deleted and had never been there"));
        };
        let (resource, _) = split(key);
        let name = any.meta.key();
        match resource {
            "pods" => {
                let old = self.pods.remove(&name);
                self.gone.insert(name);
                return old.map_or(Ok(()), |old| self.availability(&old, None, at));
            }
            "replicasets" => {
                self.unsettle(self.deployment_of(&any.meta));
                self.sets.remove(&name);
            }
            "deployments" => drop(self.deployments.remove(&name)),
            "minions" | "nodes" => drop(self.nodes.remove(&*name.name)),
            "endpointslices" => drop(self.slices.remove(key)),
            "services" => drop(self.services.remove(&name)),
            "namespaces" => {
                let inside = self.all.iter().find(|(_, o)| *o.meta.namespace == *name.name);
                if let Some((left, _)) = inside {
                    return Err(format!("namespace {name} was deleted with {left} in it"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The revision of the last write of a store key; 0 when it is not there.
    #[must_use]
    pub fn written(&self, key: &str) -> u64 {
        self.all.get(key).map_or(0, |o| o.revision)
    }

    /// The namespaces that are there and not being deleted.
    pub fn open_namespaces(&self) -> impl Iterator<Item = &str> {
        let all = self.all.values().filter(|o| &*o.kind == "Namespace" && !o.meta.deleting());
        all.map(|o| &*o.meta.name)
    }

    /// The replica sets that a deployment manages.
    pub fn sets_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a SetTruth> {
        self.sets.values().filter(move |s| s.set.metadata.controlled_by(uid))
    }

    /// The pods that a replica set manages.
    pub fn pods_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a PodTruth> {
        self.pods.values().filter(move |p| p.pod.metadata.controlled_by(uid))
    }
}

impl NodeTruth {
    fn of(node: &scheduler::Node, state: &controllers::core::node::Node) -> Self {
        let room = &node.status.allocatable;
        let pods = room.get("pods").and_then(|p| p.parse().ok()).unwrap_or(0);
        let ready = controllers::core::condition::is_true(&state.status.conditions, "Ready");
        NodeTruth {
            uid: state.metadata.uid.clone(),
            ready,
            unschedulable: node.spec.unschedulable,
            tainted: !node.spec.taints.is_empty(),
            room: scheduler::resources::Amounts::parse(room),
            pods,
        }
    }
}

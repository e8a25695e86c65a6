//! The scheduler as a whole, without I/O: informer events in, decisions out. A decided pod is assumed on its
//! node at once, so binds can be in flight while the next pod is decided.
// k8s: pkg/scheduler/schedule_one.go

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::Key;

use crate::framework::{ClusterEvent, FitError, Ties, schedule};
use crate::model::{Node, Pod};
use crate::pod::PodInfo;
use crate::preempt;
use crate::queue::Queue;
use crate::snapshot::Snapshot;

/// Pods to delete so that another fits.
#[derive(Clone, Debug)]
pub struct Preemption {
    pub node: Box<str>,
    /// Key and UID of each.
    pub victims: Vec<(Key, Arc<str>)>,
}

/// What to do about one pod.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Bind it, then report with [`Engine::bound`].
    Bind { pod: Key, uid: Arc<str>, node: Box<str> },
    /// Tell the user (event FailedScheduling, condition PodScheduled) and, if asked, preempt.
    Unschedulable { pod: Key, uid: Arc<str>, message: String, preemption: Option<Preemption> },
}

/// The scheduler's state.
#[derive(Debug)]
pub struct Engine {
    name: Box<str>,
    snapshot: Snapshot,
    queue: Queue,
    /// Pods decided but not yet seen with a node.
    assumed: HashMap<Arc<str>, Box<str>>,
    nominated: BTreeMap<Box<str>, Vec<Arc<PodInfo>>>,
    start: usize,
    ties: Ties,
}

impl Engine {
    /// `name` is the schedulerName that it serves (`default-scheduler`); `seed` breaks ties between equal nodes.
    #[must_use]
    pub fn new(name: &str, seed: u64) -> Self {
        Engine {
            name: name.into(),
            snapshot: Snapshot::default(),
            queue: Queue::default(),
            assumed: HashMap::new(),
            nominated: BTreeMap::new(),
            start: 0,
            ties: Ties(seed),
        }
    }

    /// The cluster as it is seen.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How many pods wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// A pod was added or changed.
    pub fn pod_applied(&mut self, pod: &Pod, now: Timestamp) {
        let finished = matches!(&*pod.status.phase, "Succeeded" | "Failed");
        if finished {
            return self.pod_deleted(&pod.metadata.uid, now);
        }
        let info = Arc::new(PodInfo::new(pod));
        if !info.node_name.is_empty() {
            self.assumed.remove(&info.uid);
            self.queue.remove(&info.uid);
            self.unnominate(&info.uid);
            let node = info.node_name.clone();
            let news = self.snapshot.placed_on(&info.uid) != Some(&node);
            self.snapshot.set_pod(info, &node);
            if news {
                self.queue.happened(ClusterEvent::PodAdded, now);
            }
            return;
        }
        if *pod.spec.scheduler_name != *self.name || pod.metadata.deleting() {
            return self.queue.remove(&info.uid);
        }
        if self.assumed.contains_key(&info.uid) {
            return;
        }
        if !info.nominated.is_empty() {
            self.nominate(info.clone(), info.nominated.clone());
        }
        let changed = self.queue.get(&info.uid).is_some_and(|old| asks_differ(old, &info));
        self.queue.put(info, changed, now);
    }

    /// A pod is gone.
    pub fn pod_deleted(&mut self, uid: &str, now: Timestamp) {
        self.assumed.remove(uid);
        self.queue.remove(uid);
        self.unnominate(uid);
        if self.snapshot.remove_pod(uid).is_some() {
            self.queue.happened(ClusterEvent::PodRemoved, now);
        }
    }

    /// A node was added or changed.
    pub fn node_applied(&mut self, node: Arc<Node>, now: Timestamp) {
        let old = self.snapshot.node(&node.metadata.name).and_then(|n| n.node.clone());
        let event = match old {
            None => Some(ClusterEvent::NodeAdded),
            Some(o) if o.spec != node.spec => Some(ClusterEvent::NodeTaints),
            Some(o) if o.metadata.labels != node.metadata.labels => Some(ClusterEvent::NodeLabels),
            Some(o) if o.status.allocatable != node.status.allocatable => Some(ClusterEvent::NodeAllocatable),
            Some(_) => None,
        };
        self.snapshot.set_node(node);
        if let Some(event) = event {
            self.queue.happened(event, now);
        }
    }

    /// A node is gone.
    pub fn node_deleted(&mut self, name: &str) {
        self.snapshot.remove_node(name);
    }

    fn nominate(&mut self, pod: Arc<PodInfo>, node: Box<str>) {
        self.unnominate(&pod.uid);
        self.nominated.entry(node).or_default().push(pod);
    }

    fn unnominate(&mut self, uid: &str) {
        for pods in self.nominated.values_mut() {
            pods.retain(|p| *p.uid != *uid);
        }
        self.nominated.retain(|_, pods| !pods.is_empty());
    }

    /// Decides the next pod; `None` when none is ready at `now`.
    pub fn next(&mut self, now: Timestamp) -> Option<Decision> {
        let pod = self.queue.pop(now)?;
        match schedule(&pod, &self.snapshot, &self.nominated, &mut self.start, &mut self.ties) {
            Ok(at) => {
                let node = self.snapshot.nodes[at].name.clone();
                self.snapshot.set_pod(pod.clone(), &node);
                self.assumed.insert(pod.uid.clone(), node.clone());
                Some(Decision::Bind { pod: pod.key.clone(), uid: pod.uid.clone(), node })
            }
            Err(error) => Some(self.rejected(&pod, &error, now)),
        }
    }

    fn rejected(&mut self, pod: &Arc<PodInfo>, error: &FitError, now: Timestamp) -> Decision {
        let mut message = error.message();
        let nominated = self.nominated.iter().find(|(_, pods)| pods.iter().any(|p| p.uid == pod.uid));
        let waits = preempt::must_wait(pod, nominated.map(|(node, _)| &**node), &self.snapshot, error);
        let found = if waits { None } else { preempt::find(pod, &self.snapshot, error) };
        let preemption = found.map(|c| {
            let node = self.snapshot.nodes[c.node].name.clone();
            self.nominate(pod.clone(), node.clone());
            Preemption { node, victims: c.victims.iter().map(|v| (v.key.clone(), v.uid.clone())).collect() }
        });
        if waits {
            message.push_str(" preemption: not eligible due to a terminating pod on the nominated node.");
        } else if preemption.is_none() && error.nodes > 0 {
            message.push_str(&not_preempted(pod, error));
        }
        self.queue.unschedulable(&pod.uid, error.plugins.clone(), now);
        Decision::Unschedulable { pod: pod.key.clone(), uid: pod.uid.clone(), message, preemption }
    }

    /// How a bind ended. After a failure the pod is tried again after a back-off.
    pub fn bound(&mut self, uid: &str, ok: bool, now: Timestamp) {
        if ok {
            self.queue.remove(uid);
            self.unnominate(uid);
        } else if self.assumed.remove(uid).is_some() {
            self.snapshot.remove_pod(uid);
            self.queue.retry(uid, now);
        }
    }

    /// When [`Engine::next`] should be called again; a time in the past means now.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.queue.next_wake()
    }
}

// k8s: pkg/scheduler/framework/preemption/preemption.go Preempt
fn not_preempted(pod: &PodInfo, error: &FitError) -> String {
    let helpless = error.rejections.iter().filter(|(_, r)| r.unresolvable).count();
    let others = error.rejections.len() - helpless;
    let mut parts = Vec::new();
    if others > 0 && pod.may_preempt {
        parts.push(format!("{others} No preemption victims found for incoming pod"));
    }
    if helpless > 0 || !pod.may_preempt {
        let n = if pod.may_preempt { helpless } else { error.rejections.len() };
        parts.push(format!("{n} Preemption is not helpful for scheduling"));
    }
    format!(" preemption: 0/{} nodes are available: {}.", error.nodes, parts.join(", "))
}

/// Whether a change of a waiting pod can make it fit.
fn asks_differ(old: &PodInfo, new: &PodInfo) -> bool {
    old.requests != new.requests
        || old.labels != new.labels
        || old.node_selector != new.node_selector
        || old.tolerations.len() != new.tolerations.len()
        || old.gated != new.gated
}

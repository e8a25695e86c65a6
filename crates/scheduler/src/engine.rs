//! The scheduler as a whole, without I/O: informer events in, decisions out. A decided pod is assumed on its
//! node at once, so binds can be in flight while the next pod is decided.
// k8s: pkg/scheduler/schedule_one.go

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Key, StrMap};

use crate::cycle::{Cycle, Nominated};
use crate::framework::{ClusterEvent, FitError, Ties};
use crate::model::{Budget, Node, Pod};
use crate::pod::{Parts, PodInfo, Told};
use crate::preempt::{Candidate, Outcome, preempt};
use crate::queue::Queue;
use crate::sheets::Sheets;
use crate::snapshot::Snapshot;
use crate::writes::Nomination;

/// Pods to delete so that another fits.
#[derive(Clone, Debug)]
pub struct Preemption {
    pub node: Box<str>,
    /// Key and UID of each. Pods that are leaving already are not among them.
    pub victims: Vec<(Key, Arc<str>)>,
    /// Pods of lower priority that were nominated to the node; they no longer are.
    pub displaced: Vec<(Key, Arc<str>)>,
}

/// What to do about one pod.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Bind it, then report with [`Engine::bound`].
    Bind { pod: Key, uid: Arc<str>, node: Box<str> },
    /// Tell the user (event FailedScheduling, condition PodScheduled) and, if asked, preempt.
    Unschedulable(Box<Refusal>),
}

/// Why a pod has no node, and what to do for it.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub pod: Key,
    pub uid: Arc<str>,
    pub message: String,
    pub preemption: Option<Preemption>,
    /// Whether the pod's status nominates a node that is not being emptied for it.
    pub clear: bool,
    /// What the pod's status says about it now.
    pub told: Option<Box<Told>>,
}

impl Refusal {
    /// What the pod's status is to say.
    #[must_use]
    pub fn tell(&self) -> Told {
        Told { reason: "Unschedulable".into(), message: self.message.as_str().into() }
    }

    /// What is to become of the node nominated in the pod's status.
    #[must_use]
    pub fn nomination(&self) -> Nomination<'_> {
        match &self.preemption {
            Some(p) => Nomination::To(&p.node),
            None if self.clear => Nomination::Clear,
            None => Nomination::Keep,
        }
    }
}

/// The scheduler's state.
#[derive(Debug)]
pub struct Engine {
    name: Box<str>,
    parts: Parts,
    snapshot: Snapshot,
    sheets: Sheets,
    queue: Queue,
    /// The UID of the pod that has a name now: a list may show a pod's successor without a word of its end.
    names: HashMap<Key, Arc<str>>,
    /// Pods decided but not yet seen with a node.
    assumed: HashSet<Arc<str>>,
    nominated: Nominated,
    /// Pods that were chosen to go for others.
    chosen: HashSet<Arc<str>>,
    budgets: BTreeMap<Key, Arc<Budget>>,
    start: usize,
    ties: Ties,
}

impl Engine {
    /// `name` is the schedulerName that it serves (`default-scheduler`); `seed` breaks ties between equal nodes.
    #[must_use]
    pub fn new(name: &str, seed: u64) -> Self {
        Engine {
            name: name.into(),
            parts: Parts::default(),
            snapshot: Snapshot::default(),
            sheets: Sheets::default(),
            queue: Queue::default(),
            names: HashMap::new(),
            assumed: HashSet::new(),
            nominated: BTreeMap::new(),
            chosen: HashSet::new(),
            budgets: BTreeMap::new(),
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

    /// A pod was added or changed. Another pod that was known under its name is gone.
    // k8s: pkg/scheduler/eventhandlers.go updatePod (an update with another UID)
    pub fn pod_applied(&mut self, pod: &Pod, now: Timestamp) {
        let uid = &pod.metadata.uid;
        let before = self.names.insert(pod.metadata.key(), uid.clone());
        if let Some(other) = before.filter(|other| other != uid) {
            self.release(&other, now);
        }
        let finished = matches!(&*pod.status.phase, "Succeeded" | "Failed");
        if finished {
            return self.pod_deleted(&pod.metadata.key(), uid, now);
        }
        let info = Arc::new(self.parts.info(pod));
        if !info.node_name.is_empty() {
            self.assumed.remove(&info.uid);
            self.queue.remove(&info.uid);
            self.unnominate(&info.uid);
            let node = info.node_name.clone();
            let old =
                self.snapshot.placed(&info.uid).filter(|(at, _)| **at == *node).map(|(_, old)| old.clone());
            self.snapshot.set_pod(info.clone(), &node);
            let counts = |p: &PodInfo| (p.identity.id, p.deleting);
            if old.as_ref().is_none_or(|old| counts(old) != counts(&info)) {
                self.queue.happened(ClusterEvent::PodAdded, now);
            }
            // It may ask for less now.
            if old.is_some_and(|old| old.needs != info.needs) {
                self.queue.happened(ClusterEvent::PodRemoved, now);
            }
            return;
        }
        if *pod.spec.scheduler_name != *self.name || pod.metadata.deleting() {
            self.queue.remove(&info.uid);
            return self.unnominate(&info.uid);
        }
        if self.assumed.contains(&info.uid) {
            return;
        }
        if !info.nominated.is_empty() {
            self.nominate(info.clone(), info.nominated.clone());
        }
        let changed = self.queue.get(&info.uid).is_some_and(|old| asks_differ(old, &info));
        self.queue.put(info, changed, now);
    }

    /// A pod is gone.
    pub fn pod_deleted(&mut self, key: &Key, uid: &str, now: Timestamp) {
        if self.names.get(key).is_some_and(|known| **known == *uid) {
            self.names.remove(key);
        }
        self.release(uid, now);
    }

    /// Gives back all that was kept for a pod.
    fn release(&mut self, uid: &str, now: Timestamp) {
        self.assumed.remove(uid);
        self.chosen.remove(uid);
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

    /// A namespace was added or changed.
    pub fn namespace_applied(&mut self, name: &str, labels: &StrMap) {
        self.snapshot.set_namespace(name, Some(labels));
    }

    /// A namespace is gone.
    pub fn namespace_deleted(&mut self, name: &str) {
        self.snapshot.set_namespace(name, None);
    }

    /// A disruption budget was added or changed.
    pub fn budget_applied(&mut self, budget: Arc<Budget>) {
        self.budgets.insert(budget.metadata.key(), budget);
    }

    /// A disruption budget is gone.
    pub fn budget_deleted(&mut self, key: &Key) {
        self.budgets.remove(key);
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
        let node = self.nominated.iter().find(|(_, pods)| pods.iter().any(|p| p.uid == pod.uid));
        let own = node.and_then(|(name, _)| self.snapshot.slot(name));
        let sheet = self.sheets.of(&pod.needs);
        let mut cycle = Cycle::new(&pod, &mut self.snapshot, sheet, &self.nominated);
        let found = cycle.search(own, &mut self.start, &mut self.ties);
        let outcome = match &found {
            Err(error) if error.nodes > 0 => {
                let budgets: Vec<Arc<Budget>> = self.budgets.values().cloned().collect();
                Some(preempt(&mut cycle, error, own, &self.chosen, &budgets, &mut self.ties))
            }
            _ => None,
        };
        let around = cycle.end();
        self.snapshot.put_back(&pod, around);
        match found {
            Ok(slot) => {
                let node = self.snapshot.at(slot).name.clone();
                self.snapshot.set_pod(pod.clone(), &node);
                self.assumed.insert(pod.uid.clone());
                self.unnominate(&pod.uid);
                Some(Decision::Bind { pod: pod.key.clone(), uid: pod.uid.clone(), node })
            }
            Err(error) => Some(self.rejected(&pod, error, outcome, now)),
        }
    }

    fn rejected(
        &mut self,
        pod: &Arc<PodInfo>,
        error: FitError,
        outcome: Option<Outcome>,
        now: Timestamp,
    ) -> Decision {
        let mut message = error.message();
        let mut preemption = None;
        let mut clear = false;
        match outcome {
            Some(Outcome::Found(candidate)) => preemption = Some(self.preempted(pod, candidate, now)),
            Some(Outcome::NotEligible(why)) => message.push_str(&format!(" preemption: {why}")),
            Some(Outcome::Nothing(why)) => {
                message.push_str(&format!(" preemption: {why}"));
                self.unnominate(&pod.uid);
                clear = !pod.nominated.is_empty();
            }
            None => {}
        }
        self.queue.unschedulable(&pod.uid, error.plugins, now);
        Decision::Unschedulable(Box::new(Refusal {
            pod: pod.key.clone(),
            uid: pod.uid.clone(),
            message,
            preemption,
            clear,
            told: pod.told.clone(),
        }))
    }

    fn preempted(&mut self, pod: &Arc<PodInfo>, candidate: Candidate, now: Timestamp) -> Preemption {
        let node = self.snapshot.at(candidate.slot).name.clone();
        let weaker = self.nominated.get(&node).into_iter().flatten().filter(|p| p.priority < pod.priority);
        let displaced: Vec<(Key, Arc<str>)> = weaker.map(|p| (p.key.clone(), p.uid.clone())).collect();
        for (_, uid) in &displaced {
            self.unnominate(uid);
            self.queue.wake(uid, now);
        }
        self.nominate(pod.clone(), node.clone());
        let victims = candidate.victims.iter().filter(|v| !v.deleting);
        let victims: Vec<(Key, Arc<str>)> = victims.map(|v| (v.key.clone(), v.uid.clone())).collect();
        self.chosen.extend(victims.iter().map(|(_, uid)| uid.clone()));
        Preemption { node, victims, displaced }
    }

    /// How a bind ended. After a failure the pod is tried again after a back-off.
    pub fn bound(&mut self, uid: &str, ok: bool, now: Timestamp) {
        if ok {
            self.queue.remove(uid);
        } else if self.assumed.remove(uid) {
            self.snapshot.remove_pod(uid);
            self.queue.retry(uid, now);
        }
    }

    /// When [`Engine::next`] should be called again; a time in the past means now.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.queue.next_wake()
    }

    /// Forgets all work that equal pods share. Decisions are the same with and without.
    pub fn forget(&mut self) {
        self.sheets.forget();
        self.snapshot.forget();
    }
}

/// Whether a change of a waiting pod can make it fit.
fn asks_differ(old: &PodInfo, new: &PodInfo) -> bool {
    old.needs != new.needs || old.wants != new.wants || old.identity != new.identity || old.gated != new.gated
}

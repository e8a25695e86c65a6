//! Pods that wait: to be tried now (active), after a back-off, or until something changes (unschedulable).
// k8s: pkg/scheduler/backend/queue/scheduling_queue.go

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::framework::ClusterEvent;
use crate::plugins;
use crate::pod::PodInfo;

const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// A pod is tried again after this long even when nothing has changed.
const UNSCHEDULABLE_LIMIT: Duration = Duration::from_secs(300);

/// Highest priority first, then the longest waiting, then by UID so that the order is total.
type Rank = (Reverse<i32>, Timestamp, Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Active(Rank),
    /// Until then.
    Backoff(Timestamp),
    /// Tried again then at the latest.
    Unschedulable(Timestamp),
    /// Taken out to be decided or bound.
    InFlight,
    Gated,
}

#[derive(Debug)]
struct Waiting {
    pod: Arc<PodInfo>,
    place: Place,
    attempts: u32,
    since: Timestamp,
    rejected_by: Vec<&'static str>,
    /// Something about the pod changed while it was being decided or bound.
    moved: bool,
}

/// All pods without a node.
#[derive(Debug, Default)]
pub struct Queue {
    pods: HashMap<Arc<str>, Waiting>,
    active: BTreeSet<Rank>,
    /// Back-off and unschedulable pods by the time at which they are tried again.
    timers: BTreeMap<(Timestamp, Arc<str>), ()>,
    /// Unschedulable pods by the plugins that rejected them: what an event of the cluster may concern.
    held: BTreeMap<Vec<&'static str>, BTreeSet<Arc<str>>>,
}

impl Queue {
    /// How many pods wait, in flight included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// The pod of that UID, while it waits.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.pods.get(uid).map(|w| &w.pod)
    }

    /// A pod without a node came or changed. A change of what it asks for makes it active again.
    pub fn put(&mut self, pod: Arc<PodInfo>, changed: bool, now: Timestamp) {
        let uid = pod.uid.clone();
        let Some(w) = self.pods.get_mut(&uid) else {
            let place = if pod.gated { Place::Gated } else { Place::InFlight };
            let gated = pod.gated;
            let w = Waiting { pod, place, attempts: 0, since: now, rejected_by: Vec::new(), moved: false };
            self.pods.insert(uid.clone(), w);
            if !gated {
                self.activate(&uid);
            }
            return;
        };
        let opened = w.place == Place::Gated && !pod.gated;
        w.pod = pod;
        w.moved |= changed;
        let waiting = matches!(w.place, Place::Unschedulable(_));
        if opened || (changed && waiting) {
            self.activate(&uid);
        }
    }

    /// The pod is gone or has a node.
    pub fn remove(&mut self, uid: &str) {
        self.unlink(uid);
        self.pods.remove(uid);
    }

    fn unlink(&mut self, uid: &str) {
        let Some(w) = self.pods.get(uid) else { return };
        match &w.place {
            Place::Active(rank) => {
                self.active.remove(rank);
            }
            Place::Backoff(at) => {
                self.timers.remove(&(*at, w.pod.uid.clone()));
            }
            Place::Unschedulable(at) => {
                self.timers.remove(&(*at, w.pod.uid.clone()));
                if let Some(held) = self.held.get_mut(&w.rejected_by) {
                    held.remove(uid);
                    if held.is_empty() {
                        self.held.remove(&w.rejected_by);
                    }
                }
            }
            Place::InFlight | Place::Gated => {}
        }
    }

    fn place(&mut self, uid: &str, place: Place) {
        self.unlink(uid);
        let Some(w) = self.pods.get_mut(uid) else { return };
        match &place {
            Place::Active(rank) => {
                self.active.insert(rank.clone());
            }
            Place::Backoff(at) => {
                self.timers.insert((*at, w.pod.uid.clone()), ());
            }
            Place::Unschedulable(at) => {
                self.timers.insert((*at, w.pod.uid.clone()), ());
                self.held.entry(w.rejected_by.clone()).or_default().insert(w.pod.uid.clone());
            }
            Place::InFlight | Place::Gated => {}
        }
        w.place = place;
    }

    fn activate(&mut self, uid: &str) {
        if let Some(w) = self.pods.get(uid) {
            let rank = (Reverse(w.pod.priority), w.since, w.pod.uid.clone());
            self.place(uid, Place::Active(rank));
        }
    }

    /// Takes the next pod to decide; it is in flight until it is put back or removed.
    pub fn pop(&mut self, now: Timestamp) -> Option<Arc<PodInfo>> {
        self.expire(now);
        let rank = self.active.first()?.clone();
        self.place(&rank.2, Place::InFlight);
        let w = self.pods.get_mut(&rank.2)?;
        w.attempts = w.attempts.saturating_add(1);
        w.moved = false;
        Some(w.pod.clone())
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some(((at, uid), ())) = self.timers.first_key_value() {
            if *at > now {
                break;
            }
            let uid = uid.clone();
            self.activate(&uid);
        }
    }

    fn backoff(attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(10);
        (INITIAL_BACKOFF * 2_u32.pow(doublings)).min(MAX_BACKOFF)
    }

    /// The pod fits nowhere, for reasons of these plugins.
    pub fn unschedulable(&mut self, uid: &str, mut rejected_by: Vec<&'static str>, now: Timestamp) {
        self.unlink(uid);
        let Some(w) = self.pods.get_mut(uid) else { return };
        rejected_by.sort_unstable();
        (w.rejected_by, w.place) = (rejected_by, Place::InFlight);
        if w.moved {
            self.retry(uid, now);
        } else {
            self.place(uid, Place::Unschedulable(now + UNSCHEDULABLE_LIMIT));
        }
    }

    /// The pod is to be tried again after its back-off (binding failed, say).
    pub fn retry(&mut self, uid: &str, now: Timestamp) {
        if let Some(w) = self.pods.get(uid) {
            let at = now + Self::backoff(w.attempts);
            self.place(uid, Place::Backoff(at));
        }
    }

    /// Something changed about the pod itself: it is tried again after its back-off.
    pub fn wake(&mut self, uid: &str, now: Timestamp) {
        if let Some(w) = self.pods.get_mut(uid) {
            match w.place {
                Place::InFlight => w.moved = true,
                Place::Unschedulable(_) => self.retry(uid, now),
                _ => {}
            }
        }
    }

    /// Something changed: pods that it may help are tried again after their back-off.
    pub fn happened(&mut self, event: ClusterEvent, now: Timestamp) {
        let helped = |by: &&Vec<&'static str>| {
            by.is_empty() || by.iter().any(|p| plugins::by_name(p).is_none_or(|p| p.helped_by(event)))
        };
        let groups: Vec<Vec<&'static str>> = self.held.keys().filter(helped).cloned().collect();
        for by in groups {
            for uid in self.held.remove(&by).into_iter().flatten() {
                self.retry(&uid, now);
            }
        }
    }

    /// When the next pod leaves its back-off; `Some(now)` or earlier when one is active.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        if !self.active.is_empty() {
            return Some(Timestamp::MIN);
        }
        self.timers.first_key_value().map(|((at, _), ())| *at)
    }
}

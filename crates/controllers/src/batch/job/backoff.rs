//! How long a job waits before it replaces pods that failed.
// k8s: pkg/controller/job/backoff_utils.go

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reconcile::time;

use crate::core::pod::{ContainerStatus, Pod};

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// What is remembered of a job's failures. Each pod counts once, however often its end is looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failures {
    uid: Arc<str>,
    /// Since the last success.
    count: u32,
    last: Option<Timestamp>,
    /// Pods that are in the count and not yet in the job's counters.
    seen: BTreeSet<Arc<str>>,
}

impl Failures {
    /// Takes note of pods that have come to their end and that the job's status does not know of. `tracked`: the pods
    /// with the finalizer.
    // k8s: backoff_utils.go newBackoffRecord
    pub(super) fn note(
        &mut self,
        uid: &Arc<str>,
        succeeded: &[&Arc<Pod>],
        failed: &[&Arc<Pod>],
        tracked: &HashSet<&str>,
    ) {
        if self.uid != *uid {
            *self = Failures { uid: uid.clone(), ..Failures::default() };
        }
        self.seen.retain(|u| tracked.contains(&**u));
        let mut fresh = |pods: &[&Arc<Pod>]| -> Vec<Timestamp> {
            let new = pods.iter().filter(|p| self.seen.insert(p.metadata.uid.clone()));
            new.map(|p| finished_at(p)).collect()
        };
        let (succeeded, failed) = (fresh(succeeded), fresh(failed));
        let success = succeeded.into_iter().max();
        if success.is_some() {
            (self.count, self.last) = (0, None);
        }
        for t in failed.into_iter().filter(|t| success.is_none_or(|s| *t > s)) {
            self.count += 1;
            self.last = Some(self.last.map_or(t, |l| l.max(t)));
        }
    }

    /// When pods may be made again; `None`: now.
    pub(super) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        over(self.count, self.last?, now)
    }
}

/// When the wait after so many failures is over; `None`: it is.
// k8s: backoff_utils.go getRemainingTimeForFailuresCount
fn over(count: u32, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let more = count.checked_sub(1)?;
    let wait = FIRST.saturating_mul(1_u32.checked_shl(more.min(10)).unwrap_or(u32::MAX)).min(LONGEST);
    Some(time::after(last, wait)).filter(|t| *t > now)
}

/// The same for an index, given its last failed pod and how many failed before that.
// k8s: backoff_utils.go getRemainingTimePerIndex
pub(super) fn until(pod: &Pod, failures_before: u32, now: Timestamp) -> Option<Timestamp> {
    over(failures_before.saturating_add(1), finished_at(pod), now)
}

/// When a pod came to its end.
// k8s: backoff_utils.go getFinishedTime
pub(super) fn finished_at(pod: &Pod) -> Timestamp {
    let m = &pod.metadata;
    let deleted = || {
        let grace = SignedDuration::from_secs(m.deletion_grace_period_seconds.unwrap_or(0));
        Some(m.deletion_timestamp?.checked_sub(grace).unwrap_or(Timestamp::MIN))
    };
    from_containers(pod)
        .or_else(|| {
            let ready = pod.status.conditions.iter().find(|c| &*c.kind == "Ready")?;
            ready.last_transition_time.filter(|_| &*ready.status == "False")
        })
        .or_else(deleted)
        .or(m.creation_timestamp)
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// When the last container ended, if all have; of the init containers those count that run beside the others.
fn from_containers(pod: &Pod) -> Option<Timestamp> {
    let beside = |name: &str| {
        let init = pod.spec.init_containers.iter().find(|c| *c.name == *name);
        init.is_some_and(|c| c.restart_policy.as_deref() == Some("Always"))
    };
    let ended = |c: &ContainerStatus| c.state.terminated.as_ref().and_then(|t| t.finished_at);
    let own = pod.status.container_statuses.iter();
    let init = pod.status.init_container_statuses.iter().filter(|c| beside(&c.name));
    let all: Option<Vec<Timestamp>> = own.chain(init).map(ended).collect();
    all?.into_iter().max()
}

//! Counting pods that have come to their end, each once: its UID is put into the status, then its finalizer is taken
//! off, then it is added to the counters. What happens between these steps loses nothing and counts nothing twice.
// k8s: pkg/controller/job/job_controller.go trackJobStatusAndRemoveFinalizers

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Action, time::whole_seconds};
use serde_json::{Value, json};

use super::finish::End;
use super::manage::untrack;
use super::policy::Meaning;
use super::state::{Member, STEP_LIMIT, Tally};
use crate::apps::replicaset::or_null;
use crate::batch::types::JobStatus;
use crate::core::condition::{Condition, find};

/// What counting came to.
pub(super) struct Counted {
    /// Finalizers that may go once the status is written.
    pub untracked: Vec<Action>,
    /// Whether the job is over, with nothing left to count.
    pub finished: bool,
}

/// Counts, up to a limit, into `status`.
pub(super) fn count(tally: &Tally<'_>, status: &mut JobStatus, end: Option<&End>, now: Timestamp) -> Counted {
    take_over(tally, status);
    let mut untracked = Vec::new();
    let mut indexes = Vec::new();
    let mut full = false;
    for m in tally.members.iter().filter(|m| m.tracked) {
        if !may_go(tally, m, end) {
            continue;
        }
        untracked.push(untrack(m.pod));
        note(tally, m, end, status, &mut indexes);
        let uncounted = &status.uncounted_terminated_pods;
        // Also those that need no note are taken in bounded numbers.
        full = indexes.len() + uncounted.succeeded.len() + uncounted.failed.len() >= STEP_LIMIT
            || untracked.len() >= STEP_LIMIT;
        if full {
            break;
        }
    }
    if tally.job.indexed() {
        let succeeded = tally.succeeded_indexes.with(indexes);
        status.succeeded = i32::try_from(succeeded.total()).unwrap_or(i32::MAX);
        status.completed_indexes = succeeded.text().into();
        status.failed_indexes = tally.failed_indexes.as_ref().map(|f| f.text().into());
    }
    let Some(end) = end else { return Counted { untracked, finished: false } };
    if find(&status.conditions, end.interim()).is_none_or(|c| &*c.status != "True") {
        ensure(&mut status.conditions, end.interim(), "True", &end.reason, &end.message, now);
    }
    let uncounted = &status.uncounted_terminated_pods;
    let nothing_left = uncounted.succeeded.is_empty() && uncounted.failed.is_empty() && untracked.is_empty();
    let finished = !full && nothing_left && status.terminating.unwrap_or(0) == 0;
    if finished {
        ensure(&mut status.conditions, end.last(), "True", &end.reason, &end.message, now);
        if end.success {
            status.completion_time = Some(whole_seconds(now));
        }
    }
    Counted { untracked, finished }
}

/// Adds to the counters what has no finalizer any more.
// k8s: job_controller.go cleanUncountedPodsWithoutFinalizers
fn take_over(tally: &Tally<'_>, status: &mut JobStatus) {
    let tracked: HashSet<&str> = tally.members.iter().filter(|m| m.tracked).map(Member::uid).collect();
    let taken = |uids: &mut Vec<Arc<str>>| {
        let before = uids.len();
        uids.retain(|u| tracked.contains(&**u));
        i32::try_from(before - uids.len()).unwrap_or(i32::MAX)
    };
    let uncounted = &mut status.uncounted_terminated_pods;
    status.succeeded = status.succeeded.saturating_add(taken(&mut uncounted.succeeded));
    status.failed = status.failed.saturating_add(taken(&mut uncounted.failed));
}

// k8s: job_controller.go canRemoveFinalizer
fn may_go(tally: &Tally<'_>, m: &Member<'_>, end: Option<&End>) -> bool {
    if tally.job.metadata.deleting() || end.is_some() || m.succeeded {
        return true;
    }
    let is_kept = || m.index.and_then(|i| tally.kept.get(&i)).is_some_and(|k| k.uid() == m.uid());
    m.failed && !is_kept()
}

fn note(
    tally: &Tally<'_>,
    m: &Member<'_>,
    end: Option<&End>,
    status: &mut JobStatus,
    indexes: &mut Vec<i64>,
) {
    let uncounted = &mut status.uncounted_terminated_pods;
    let uid = || m.pod.metadata.uid.clone();
    let is_counted_failed = tally.uncounted_failed.contains(m.uid());
    if m.succeeded && !is_counted_failed {
        if tally.job.indexed() {
            // The index is enough to count it once.
            indexes.extend(m.index.filter(|i| tally.valid(m) && !tally.before.has(*i)));
        } else if !tally.uncounted_succeeded.contains(m.uid()) {
            uncounted.succeeded.push(uid());
        }
        return;
    }
    // Once the job has failed, what has not come to its end has failed too.
    let failed = m.failed || end.is_some_and(|e| !e.success);
    if failed && !is_counted_failed && tally.valid(m) && tally.meaning(m) != Meaning::Ignore {
        uncounted.failed.push(uid());
    }
}

/// Sets a condition; whether anything changed. What is not there need not become false.
// k8s: job_controller.go ensureJobConditionStatus
pub(super) fn ensure(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> bool {
    let new = || {
        let c = Condition::new(kind, status, reason, message, now);
        Condition { last_probe_time: c.last_transition_time, ..c }
    };
    match conditions.iter_mut().find(|c| *c.kind == *kind) {
        Some(c) if *c.status == *status && *c.reason == *reason && *c.message == *message => false,
        Some(c) => {
            *c = new();
            true
        }
        None if status == "False" => false,
        None => {
            conditions.push(new());
            true
        }
    }
}

/// The status as it is written.
pub(super) fn body(status: &JobStatus) -> Value {
    let list = |uids: &[Arc<str>]| if uids.is_empty() { Value::Null } else { json!(uids) };
    let text = |t: &str| if t.is_empty() { Value::Null } else { t.into() };
    let uncounted = &status.uncounted_terminated_pods;
    json!({
        "conditions": if status.conditions.is_empty() { Value::Null } else { json!(status.conditions) },
        "startTime": status.start_time,
        "completionTime": status.completion_time,
        "active": or_null(status.active),
        "succeeded": or_null(status.succeeded),
        "failed": or_null(status.failed),
        "terminating": status.terminating,
        "ready": status.ready,
        "completedIndexes": text(&status.completed_indexes),
        "failedIndexes": status.failed_indexes,
        "uncountedTerminatedPods": {"succeeded": list(&uncounted.succeeded), "failed": list(&uncounted.failed)},
    })
}

//! How many pods there should be: which are made and which are deleted.
// k8s: pkg/controller/job/job_controller.go manageJob

use std::time::Duration;

use jiff::Timestamp;
use reconcile::{Action, EventRecord, time};
use serde_json::json;

use super::backoff::{self, Failures};
use super::make;
use super::state::{Member, STEP_LIMIT, TRACKING, Tally};
use crate::core::pod::{PODS, Pod, deletion_order};

/// Pods that were delayed are not looked for more often than this.
const BATCH: Duration = Duration::from_secs(1);

/// What is done about the number of pods, and how it changes what is counted.
#[derive(Default)]
pub(super) struct Changes {
    pub creates: Vec<Action>,
    /// Taking the finalizer off those that are deleted: they do not count.
    pub untracked: Vec<Action>,
    pub deletes: Vec<Action>,
    pub deleted: i32,
    pub deleted_ready: i32,
    /// Not all of it fits into one decision.
    pub more: bool,
    pub look_at: Option<Timestamp>,
}

/// Takes the finalizer off a pod.
pub(super) fn untrack(pod: &Pod) -> Action {
    let body =
        json!({"metadata": {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [TRACKING]}});
    Action::strategic_patch(PODS, &pod.metadata.key(), "", &body).tolerate(&["NotFound"])
}

pub(super) fn delete(tally: &Tally<'_>, pod: &Pod) -> Action {
    let about = tally.job.about();
    Action::delete(PODS, &pod.metadata)
        .on_ok(EventRecord::normal(
            about.clone(),
            "SuccessfulDelete",
            format!("Deleted pod: {}", pod.metadata.name),
        ))
        .on_err(EventRecord::warning(about, "FailedDelete", "Error deleting: {error}"))
}

pub(super) fn decide(tally: &Tally<'_>, failures: &Failures, now: Timestamp) -> Changes {
    let active = count(tally.active.len());
    let wanted = if tally.job.spec.suspend { 0 } else { wanted(tally, active) };
    let surplus = usize::try_from(active - wanted).unwrap_or(0);
    let go = to_go(tally, surplus, now);
    if !go.is_empty() || tally.job.spec.suspend {
        return deletions(tally, &go);
    }
    let going = if tally.job.replaces_only_failed() {
        count(tally.members.iter().filter(|m| m.pod.terminating()).count())
    } else {
        0
    };
    match usize::try_from(wanted - going - active) {
        Ok(missing) if missing > 0 => creations(tally, missing, failures, now),
        _ => Changes::default(),
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn wanted(tally: &Tally<'_>, active: i64) -> i64 {
    let parallelism = i64::from(tally.job.spec.parallelism.unwrap_or(1));
    match tally.job.spec.completions {
        // The first success means that no more are begun.
        None if tally.succeeded > 0 => active,
        None => parallelism,
        Some(n) => (i64::from(n) - tally.succeeded).min(parallelism).max(0),
    }
}

/// Active pods that are too many: at least `surplus`, and of an indexed job all that have no index of their own.
// k8s: job_controller.go activePodsForRemoval
fn to_go<'t, 'a>(tally: &'t Tally<'a>, surplus: usize, now: Timestamp) -> Vec<&'t Member<'a>> {
    let order = |a: &&Member<'_>, b: &&Member<'_>| deletion_order((a.pod, 0), (b.pod, 0), 0, now);
    let (mut go, mut stay) = (Vec::new(), Vec::new());
    if tally.job.indexed() {
        // They are in the order of their indexes.
        for same in tally.active.chunk_by(|a, b| a.index == b.index) {
            let mut same: Vec<&Member<'_>> = same.iter().collect();
            if same[0].index.is_some() && tally.valid(same[0]) {
                same.sort_by(order);
                stay.extend(same.pop());
            }
            go.extend(same);
        }
    } else {
        stay.extend(&tally.active);
    }
    if go.len() < surplus {
        // First those that a decision before could not delete any more: they do not count.
        stay.sort_by(|a, b| a.tracked.cmp(&b.tracked).then_with(|| order(a, b)));
        go.extend(stay.into_iter().take(surplus - go.len()));
    }
    go
}

fn deletions(tally: &Tally<'_>, go: &[&Member<'_>]) -> Changes {
    let now = &go[..go.len().min(STEP_LIMIT)];
    Changes {
        untracked: now.iter().filter(|m| m.tracked).map(|m| untrack(m.pod)).collect(),
        deletes: now.iter().map(|m| delete(tally, m.pod)).collect(),
        deleted: i32::try_from(now.len()).unwrap_or(i32::MAX),
        deleted_ready: i32::try_from(now.iter().filter(|m| m.pod.ready()).count()).unwrap_or(i32::MAX),
        more: go.len() > now.len(),
        ..Changes::default()
    }
}

fn creations(tally: &Tally<'_>, missing: usize, failures: &Failures, now: Timestamp) -> Changes {
    let per_index = tally.job.spec.backoff_limit_per_index.is_some();
    let wait = |until: Timestamp| Changes {
        look_at: Some(until.max(time::after(now, BATCH))),
        ..Changes::default()
    };
    if !per_index && let Some(until) = failures.until(now) {
        return wait(until);
    }
    let n = missing.min(STEP_LIMIT);
    if !tally.job.indexed() {
        return Changes { creates: make::plain(tally, n), more: missing > n, ..Changes::default() };
    }
    let mut indexes = pending(tally, n);
    if per_index {
        let mut next: Option<Timestamp> = None;
        indexes.retain(|i| match until(tally, *i, now) {
            None => true,
            Some(t) => {
                next = Some(next.map_or(t, |n| n.min(t)));
                false
            }
        });
        if let Some(next) = next.filter(|_| indexes.is_empty()) {
            return wait(next);
        }
    }
    let more = missing > n && !indexes.is_empty();
    Changes { creates: make::numbered(tally, &indexes), more, ..Changes::default() }
}

fn until(tally: &Tally<'_>, index: i64, now: Timestamp) -> Option<Timestamp> {
    let m = tally.kept.get(&index)?;
    let (counted, ignored) = m.failed_before();
    backoff::until(m.pod, counted.saturating_add(ignored), now)
}

// k8s: indexed_job_utils.go firstPendingIndexes
fn pending(tally: &Tally<'_>, n: usize) -> Vec<i64> {
    let mut not = tally.succeeded_indexes.with(tally.active.iter().filter_map(|m| m.index));
    if tally.job.replaces_only_failed() {
        not = not.with(tally.members.iter().filter(|m| m.pod.terminating()).filter_map(|m| m.index));
    }
    if let Some(failed) = &tally.failed_indexes {
        not = not.merge(failed);
    }
    not.missing(n, tally.completions)
}

//! Job: runs pods until enough of them have succeeded.
//!
//! Reads jobs and pods; creates and deletes pods, adopts and releases them, takes the tracking finalizer off those that
//! are counted, also off those that no job will count any more, and writes the job's status. A status is written only
//! over the one that was read, and a finalizer is taken off only after the status that speaks of its pod: a decision on
//! old caches changes nothing.
// k8s: pkg/controller/job/job_controller.go

mod backoff;
mod finish;
mod indexes;
mod make;
mod manage;
mod policy;
mod state;
mod track;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reconcile::time::whole_seconds;
use reconcile::{Action, Answers, Caches, Controller, Delta, EventRecord, Interests, Key, KeySink, Op, Plan};

pub use self::backoff::Failures;
use self::finish::End;
use self::state::Tally;
pub use self::state::{FAILED_BEFORE, IGNORED_BEFORE, INDEX, JobState, STEP_LIMIT, State, TRACKING};
use super::types::{JOBS, Job, JobStatus};
use crate::core::pod::{self, PODS, Pod};
use crate::owners::MayAdopt;

/// The controller. Its keys are jobs and, under names that no job can have, pods that were left behind.
pub struct Jobs;

/// What pods and statuses change is looked at together.
// k8s: job_controller.go SyncJobBatchPeriod
const BATCH: Duration = Duration::from_secs(1);
/// How keys begin that are pods.
const LEFT_BEHIND: &str = "pods/";

fn left_behind(p: &Pod) -> Key {
    Key::new(&p.metadata.namespace, &format!("{LEFT_BEHIND}{}", p.metadata.name))
}

/// The job that manages the pod, if it is there.
fn manager<'c>(p: &Pod, caches: &'c Caches) -> Option<&'c Arc<Job>> {
    let o = p.metadata.controller().filter(|o| o.is_a("batch", "Job"))?;
    let job = caches.kind::<Job>().get(&p.metadata.namespace, &o.name)?;
    (job.metadata.uid == o.uid).then_some(job)
}

// k8s: job_controller.go addPod, updatePod, deletePod
fn pod_changed(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    for p in delta.both() {
        match p.metadata.controller() {
            Some(o) if o.is_a("batch", "Job") => {
                sink.add_after(Key::new(&p.metadata.namespace, &o.name), BATCH);
            }
            Some(_) => {}
            None => {
                let jobs = caches.kind::<Job>().list(&p.metadata.namespace);
                let mut selecting = jobs.filter(|j| !j.spec.selector.is_empty());
                selecting.by_ref().filter(|j| j.spec.selector.matches(&p.metadata.labels)).for_each(|j| {
                    sink.add_after(j.metadata.key(), BATCH);
                });
            }
        }
    }
    let Some(p) = delta.new.as_ref().filter(|p| p.metadata.has_finalizer(TRACKING)) else { return };
    let is_left = match p.metadata.controller() {
        None => true,
        // A job that the caches do not show may be younger than they are; not so one whose pods are deleted.
        Some(o) => {
            o.is_a("batch", "Job") && p.metadata.deleting() && manager(p, caches).is_none_or(|j| j.finished())
        }
    };
    if is_left {
        sink.add(left_behind(p));
    }
}

// k8s: job_controller.go addJob, updateJob, deleteJob
fn job_changed(delta: &Delta<Job>, caches: &Caches, sink: &mut KeySink) {
    let Some(job) = delta.latest() else { return };
    let is_same = |old: &Arc<Job>, new: &Arc<Job>| {
        old.metadata.uid == new.metadata.uid && old.metadata.generation == new.metadata.generation
    };
    match (&delta.old, &delta.new) {
        (Some(old), Some(new)) if is_same(old, new) => sink.add_after(new.metadata.key(), BATCH),
        _ => sink.add(job.metadata.key()),
    }
    let over = delta
        .old
        .iter()
        .filter(|old| delta.new.as_ref().is_none_or(|new| new.metadata.uid != old.metadata.uid));
    for gone in over.chain(delta.new.iter().filter(|j| j.finished())) {
        let pods = caches.kind::<Pod>().by_index(pod::BY_CONTROLLER, &gone.metadata.uid);
        pods.filter(|p| p.metadata.has_finalizer(TRACKING)).for_each(|p| sink.add(left_behind(p)));
    }
}

/// A pod whose finalizer nobody else takes off.
// k8s: job_controller.go handleSingleOrphanPod
fn orphan(namespace: &str, name: &str, caches: &Caches) -> Option<State> {
    let p = caches.kind::<Pod>().get(namespace, name).filter(|p| p.metadata.has_finalizer(TRACKING))?;
    if p.metadata.controller().is_some_and(|o| !o.is_a("batch", "Job")) {
        return None;
    }
    let is_kept = manager(p, caches).is_some_and(|j| j.managed_elsewhere() || !j.finished());
    (!is_kept).then(|| State::Orphan(p.clone()))
}

impl Controller for Jobs {
    type State = State;
    type Memory = Failures;

    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.on::<Job>(job_changed);
        i.on::<Pod>(pod_changed);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        if let Some(name) = key.name.strip_prefix(LEFT_BEHIND) {
            return orphan(&key.namespace, name, caches);
        }
        let job = caches.kind::<Job>().by_key(key)?.clone();
        if job.managed_elsewhere() || job.finished() {
            return None;
        }
        let cached = caches.kind::<Pod>();
        let mut pods: Vec<Arc<Pod>> =
            cached.by_index(pod::BY_CONTROLLER, &job.metadata.uid).cloned().collect();
        let orphans = cached.by_index(pod::BY_ORPHAN, &job.metadata.namespace);
        let selects =
            |p: &Pod| !job.spec.selector.is_empty() && job.spec.selector.matches(&p.metadata.labels);
        pods.extend(orphans.filter(|p| selects(p)).cloned());
        let may_adopt = MayAdopt::from_answers(answers, &JOBS, &job.metadata);
        Some(State::Job(JobState { job, pods, may_adopt, failures: answers.failures.clone() }))
    }

    fn reconcile(&self, state: &State, failures: &mut Failures, now: Timestamp) -> Plan {
        let state = match state {
            State::Orphan(p) => return Plan::of(vec![manage::untrack(p)]),
            State::Job(state) => state,
        };
        let pods = state.pods.iter().map(|p| &p.metadata);
        match state.claimer().plan_held(pods, state.may_adopt, &[TRACKING]) {
            Some(plan) if !plan.retry => return plan,
            _ => {}
        }
        if !matches!(&*state.job.spec.completion_mode, "" | "NonIndexed" | "Indexed") {
            let what = "Skipped Job sync because completion mode is unknown";
            let event = EventRecord::warning(state.job.about(), "UnknownCompletionMode", what);
            return Plan { events: vec![event], ..Plan::default() };
        }
        let tally = Tally::new(state);
        let tracked: HashSet<&str> = tally.members.iter().filter(|m| m.tracked).map(|m| m.uid()).collect();
        failures.note(&state.job.metadata.uid, &tally.new_succeeded, &tally.new_failed, &tracked);
        decide(&tally, failures, now)
    }
}

fn counted(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn decide(tally: &Tally<'_>, failures: &Failures, now: Timestamp) -> Plan {
    let mut status = tally.job.status.clone();
    status.active = counted(tally.active.len());
    status.ready = Some(counted(tally.active.iter().filter(|m| m.pod.ready()).count()));
    status.terminating = Some(counted(tally.members.iter().filter(|m| m.pod.terminating()).count()));
    if status.start_time.is_none() && !tally.job.spec.suspend {
        status.start_time = Some(whole_seconds(now));
    }
    let mut plan = match finish::evaluate(tally, status.start_time, now) {
        Some(end) => finishing(tally, status, end, now),
        None => {
            let mut plan = working(tally, &mut status, failures, now);
            if let Some(at) = finish::deadline(tally, status.start_time) {
                plan.requeue_by(at);
            }
            plan
        }
    };
    if plan.steps.iter().any(|s| s.actions.iter().any(|a| is_untracking(&a.op))) {
        // What was let go is counted as soon as the caches show it.
        plan.requeue_by(now);
    }
    plan
}

fn is_untracking(op: &Op) -> bool {
    matches!(op, Op::Patch { gvr, .. } if *gvr == PODS)
}

/// Deletes what still runs of a job that has come to its end, then counts.
fn finishing(tally: &Tally<'_>, mut status: JobStatus, end: End, now: Timestamp) -> Plan {
    let deletes: Vec<Action> =
        tally.active.iter().take(STEP_LIMIT).map(|m| manage::delete(tally, m.pod)).collect();
    let mut plan = Plan::default();
    let could_not = tally.state.failures.iter().any(|f| matches!(f.op, Op::Delete { .. }));
    if deletes.is_empty() || (!could_not && deletes.len() == tally.active.len()) {
        status.terminating = status.terminating.map(|n| n.saturating_add(status.active));
        (status.active, status.ready) = (0, Some(0));
        let count = track::count(tally, &mut status, Some(&end), now);
        plan.step(deletes);
        write(tally, &status, count.finished.then_some(&end), &mut plan);
        plan.step(count.untracked);
        return plan;
    }
    // The end is not lost while pods are deleted step by step; what they count for comes after it.
    track::ensure(&mut status.conditions, end.interim(), "True", &end.reason, &end.message, now);
    let count = track::count(tally, &mut status, None, now);
    write(tally, &status, None, &mut plan);
    plan.step(count.untracked);
    plan.step(deletes);
    plan.requeue_by(now);
    plan
}

/// Makes and deletes pods of a job that has not come to its end, and counts.
fn working(tally: &Tally<'_>, status: &mut JobStatus, failures: &Failures, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let managed = !tally.job.metadata.deleting();
    let changes = if managed { manage::decide(tally, failures, now) } else { manage::Changes::default() };
    // What a decision before could not do is not counted on.
    if tally.state.failures.is_empty() {
        status.active = status.active + counted(changes.creates.len()) - changes.deleted;
        status.ready = status.ready.map(|n| n - changes.deleted_ready);
        status.terminating = status.terminating.map(|n| n + changes.deleted);
    }
    let enough = match tally.job.spec.completions {
        None => tally.succeeded > 0,
        Some(n) => tally.succeeded >= i64::from(n),
    };
    let end = (enough && tally.active.is_empty() && changes.creates.is_empty())
        .then(|| End::success("CompletionsReached", "Reached expected number of succeeded pods"));
    if end.is_none() && managed {
        suspend(tally, status, &mut plan, now);
    }
    let count = track::count(tally, status, end.as_ref(), now);
    write(tally, status, end.as_ref().filter(|_| count.finished), &mut plan);
    plan.step(count.untracked);
    plan.step(changes.untracked);
    plan.step(changes.deletes);
    plan.slow_start(changes.creates);
    if changes.more {
        plan.requeue_by(now);
    }
    if let Some(at) = changes.look_at {
        plan.requeue_by(at);
    }
    plan
}

fn suspend(tally: &Tally<'_>, status: &mut JobStatus, plan: &mut Plan, now: Timestamp) {
    let about = || tally.job.about();
    let conditions = &mut status.conditions;
    if tally.job.spec.suspend {
        if track::ensure(conditions, "Suspended", "True", "JobSuspended", "Job suspended", now) {
            plan.events.push(EventRecord::normal(about(), "Suspended", "Job suspended"));
            status.start_time = None;
        }
    } else if track::ensure(conditions, "Suspended", "False", "JobResumed", "Job resumed", now) {
        plan.events.push(EventRecord::normal(about(), "Resumed", "Job resumed"));
        // A job may be active for its time from now on.
        status.start_time = Some(whole_seconds(now));
    }
}

/// Writes the status where it differs; `over`: the job is over with that.
// k8s: job_controller.go recordJobFinished
fn write(tally: &Tally<'_>, status: &JobStatus, over: Option<&End>, plan: &mut Plan) {
    if *status == tally.job.status {
        return;
    }
    let about = tally.job.about();
    let action =
        Action::status_patch(JOBS, &tally.job.metadata, &track::body(status)).tolerate(&["NotFound"]);
    let action = match over {
        None => action,
        Some(end) if end.success => {
            if tally.job.spec.completions.is_some_and(|n| status.succeeded > n) {
                let what = "Too many succeeded pods running after completion count reached";
                plan.events.push(EventRecord::warning(about.clone(), "TooManySucceededPods", what));
            }
            action.on_ok(EventRecord::normal(about, "Completed", "Job completed"))
        }
        Some(end) => {
            let reason = REASONS.iter().find(|r| ***r == *end.reason).unwrap_or(&"JobFailed");
            action.on_ok(EventRecord::warning(about, reason, &*end.message))
        }
    };
    plan.step(vec![action]);
}

/// Why jobs fail.
const REASONS: [&str; 5] = [
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "PodFailurePolicy",
    "MaxFailedIndexesExceeded",
    "FailedIndexes",
];

#[cfg(test)]
mod tests;

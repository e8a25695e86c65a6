//! The jobs that a cron job has made: which of them run, which have come to their end, which are too many.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Action, EventRecord, ObjectReference, Op};

use super::state::{Found, State, normal, warning};
use super::times;
use crate::batch::types::{CronJobStatus, JOBS, Job};

/// The annotation of a job that says for which time it was made.
pub(super) const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// At most so many jobs are deleted by one decision.
const DELETIONS_LIMIT: usize = 500;

/// Whether it is known which jobs are active.
pub(super) enum Settled {
    Yes,
    /// The server must be asked.
    Ask(Vec<Action>),
    /// It was asked and did not answer.
    Later,
}

/// The time that a job of this cron job was made for and that the status does not know of yet.
fn unrecorded(state: &State, job: &Job) -> Option<Timestamp> {
    let at = meta::time::parse(job.metadata.annotations.get(SCHEDULED_AT)?)?;
    let is_ours = *job.metadata.name == times::job_name(&state.cronjob, at);
    (is_ours && state.cronjob.status.last_schedule_time.is_none_or(|last| last < at)).then_some(at)
}

fn listed(active: &[ObjectReference], uid: &str) -> bool {
    active.iter().any(|r| r.uid == *uid)
}

fn reference(job: &Job) -> ObjectReference {
    job.about()
}

/// Takes up what the jobs say: those that were made and not noted yet, those that have come to their end.
// k8s: cronjob_controllerv2.go syncCronJob, its first loop
pub(super) fn record(state: &State, status: &mut CronJobStatus, events: &mut Vec<EventRecord>) {
    let cj = &state.cronjob;
    for job in &state.jobs {
        let m = &job.metadata;
        let mut is_active = listed(&status.active, &m.uid);
        if !is_active && let Some(at) = unrecorded(state, job) {
            status.last_schedule_time = Some(status.last_schedule_time.map_or(at, |last| last.max(at)));
            status.active.push(reference(job));
            is_active = true;
        }
        let Some(end) = job.end() else {
            if !is_active {
                let what = format!("Saw a job that the controller did not create or forgot: {}", m.name);
                events.push(warning(cj, "UnexpectedJob", what));
            }
            continue;
        };
        if is_active {
            status.active.retain(|r| r.uid != *m.uid);
            let what = format!("Saw completed job: {}, condition: {}", m.name, end.kind);
            events.push(normal(cj, "SawCompletedJob", what));
        }
        if job.succeeded() && job.status.completion_time > status.last_successful_time {
            status.last_successful_time = job.status.completion_time;
        }
    }
}

/// Takes out active jobs that are gone. What the caches do not show may be there all the same.
// k8s: cronjob_controllerv2.go syncCronJob, its second loop
pub(super) fn settle(state: &State, status: &mut CronJobStatus, events: &mut Vec<EventRecord>) -> Settled {
    let here: BTreeSet<&str> = state.jobs.iter().map(|j| &*j.metadata.uid).collect();
    let namespace = &state.cronjob.metadata.namespace;
    let mut ask = Vec::new();
    let mut unknown = false;
    status.active.retain(|r| {
        if here.contains(r.uid.as_str()) {
            return true;
        }
        match state.asked.get(r.uid.as_str()) {
            None => ask.push(Action::get(JOBS, namespace, &r.name)),
            Some(Found::There) => {}
            Some(Found::Unknown) => unknown = true,
            Some(Found::Gone) => {
                let what = format!("Active job went missing: {}", r.name);
                events.push(normal(&state.cronjob, "MissingJob", what));
                return false;
            }
        }
        true
    });
    match (ask.is_empty(), unknown) {
        (false, _) => Settled::Ask(ask),
        (true, true) => Settled::Later,
        (true, false) => Settled::Yes,
    }
}

/// Deletes a job with its pods.
pub(super) fn delete(state: &State, name: &str, uid: &str) -> Action {
    let cj = &state.cronjob;
    let op = Op::Delete {
        gvr: JOBS,
        namespace: cj.metadata.namespace.to_string(),
        name: name.to_owned(),
        uid: Some(uid.into()),
        resource_version: None,
        grace_period_seconds: None,
        propagation: Some("Background"),
    };
    Action::from(op)
        .tolerate(&["NotFound"])
        .on_ok(normal(cj, "SuccessfulDelete", format!("Deleted job {name}")))
        .on_err(warning(cj, "FailedDelete", "Deleted job: {error}".to_owned()))
}

/// Deletions of the oldest jobs beyond the limits of the history.
// k8s: cronjob_controllerv2.go cleanupFinishedJobs
pub(super) fn excess(state: &State) -> Vec<Action> {
    let spec = &state.cronjob.spec;
    let mut out = Vec::new();
    for (kind, limit) in
        [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)]
    {
        let Some(limit) = limit else { continue };
        let ended = |j: &&Arc<Job>| j.end().is_some_and(|c| &*c.kind == kind) && !j.metadata.deleting();
        let mut jobs: Vec<&Arc<Job>> = state.jobs.iter().filter(ended).collect();
        let surplus = jobs.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        if surplus == 0 {
            continue;
        }
        // Those that never began come last.
        let begun = |j: &Job| (j.status.start_time.is_none(), j.status.start_time);
        jobs.sort_by(|a, b| begun(a).cmp(&begun(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name)));
        out.extend(jobs.iter().take(surplus).map(|j| delete(state, &j.metadata.name, &j.metadata.uid)));
    }
    out.truncate(DELETIONS_LIMIT);
    out
}

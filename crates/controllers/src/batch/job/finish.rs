//! Whether a job has come to its end, and how.
// k8s: pkg/controller/job/job_controller.go syncJob

use jiff::{SignedDuration, Timestamp};

use super::policy::{self, Meaning};
use super::state::Tally;
use crate::core::condition::{Condition, find};

/// The end of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub success: bool,
    pub reason: Box<str>,
    pub message: Box<str>,
}

impl End {
    fn failure(reason: &str, message: impl Into<Box<str>>) -> Self {
        End { success: false, reason: reason.into(), message: message.into() }
    }

    pub(super) fn success(reason: &str, message: impl Into<Box<str>>) -> Self {
        End { success: true, reason: reason.into(), message: message.into() }
    }

    /// The condition that says it before the pods are let go.
    pub(super) fn interim(&self) -> &'static str {
        if self.success { "SuccessCriteriaMet" } else { "FailureTarget" }
    }

    /// The condition that says it.
    pub(super) fn last(&self) -> &'static str {
        if self.success { "Complete" } else { "Failed" }
    }
}

fn said(tally: &Tally<'_>, kind: &str) -> Option<Condition> {
    find(&tally.job.status.conditions, kind).filter(|c| &*c.status == "True").cloned()
}

/// The end that the job has come to, completions aside; `started` is when it began.
pub(super) fn evaluate(tally: &Tally<'_>, started: Option<Timestamp>, now: Timestamp) -> Option<End> {
    if let Some(c) = said(tally, "SuccessCriteriaMet") {
        return Some(End { success: true, reason: c.reason, message: c.message });
    }
    if let Some(c) = said(tally, "FailureTarget") {
        return Some(End { success: false, reason: c.reason, message: c.message });
    }
    by_policy(tally).or_else(|| by_limits(tally, started, now)).or_else(|| by_indexes(tally)).or_else(|| {
        let policy = tally.job.spec.success_policy.as_deref().filter(|_| tally.job.indexed());
        let met = policy::enough(policy, tally.completions, &tally.succeeded_indexes)?;
        Some(End::success("SuccessPolicy", met))
    })
}

// k8s: job_controller.go getFailJobMessage
fn by_policy(tally: &Tally<'_>) -> Option<End> {
    tally.job.spec.pod_failure_policy.as_ref()?;
    let failed = tally.members.iter().filter(|m| m.failed);
    failed.map(|m| tally.meaning(m)).find_map(|m| match m {
        Meaning::FailJob(why) => Some(End::failure("PodFailurePolicy", why)),
        _ => None,
    })
}

fn by_limits(tally: &Tally<'_>, started: Option<Timestamp>, now: Timestamp) -> Option<End> {
    let limit = i64::from(tally.job.spec.backoff_limit.unwrap_or(6));
    if tally.failed > limit || restarts_exceed(tally, limit) {
        return Some(End::failure("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
    }
    if deadline(tally, started).is_some_and(|d| d <= now) {
        return Some(End::failure("DeadlineExceeded", "Job was active longer than specified deadline"));
    }
    None
}

/// When a job has been active for too long.
// k8s: job_controller.go pastActiveDeadline
pub(super) fn deadline(tally: &Tally<'_>, started: Option<Timestamp>) -> Option<Timestamp> {
    let spec = &tally.job.spec;
    let seconds = spec.active_deadline_seconds.filter(|_| !spec.suspend)?;
    Some(started?.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX))
}

/// Whether containers that are started again where they are were so too often.
// k8s: job_controller.go pastBackoffLimitOnFailure
fn restarts_exceed(tally: &Tally<'_>, limit: i64) -> bool {
    if !tally.job.spec.template.on_failure {
        return false;
    }
    let running = tally.members.iter().filter(|m| matches!(&*m.pod.status.phase, "Running" | "Pending"));
    let containers = running.flat_map(|m| {
        let status = &m.pod.status;
        status.container_statuses.iter().chain(&status.init_container_statuses)
    });
    let restarts: i64 = containers.map(|c| i64::from(c.restart_count)).sum();
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

fn by_indexes(tally: &Tally<'_>) -> Option<End> {
    let failed = tally.failed_indexes.as_ref()?.total();
    if tally.job.spec.max_failed_indexes.is_some_and(|max| failed > i64::from(max)) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Some(End::failure("MaxFailedIndexesExceeded", message));
    }
    let over = failed > 0 && failed + tally.succeeded_indexes.total() >= tally.completions;
    over.then(|| End::failure("FailedIndexes", "Job has failed indexes"))
}

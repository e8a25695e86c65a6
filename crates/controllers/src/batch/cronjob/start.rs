//! Whether a job is due, and what is made then.

use jiff::Timestamp;
use meta::cron::{self, Schedule};
use meta::zone;
use reconcile::{Action, EventRecord, Op, Plan};
use serde_json::{Value, json};

use super::children::{SCHEDULED_AT, delete};
use super::state::{State, normal, warning};
use super::times::{self, Missed};
use crate::batch::types::{CronJob, CronJobStatus, JOBS};
use crate::owners::controller_ref;

/// What is done for a time that is due.
#[derive(Default)]
pub(super) struct Started {
    /// Deletions of jobs that another one takes the place of.
    pub replaced: Vec<Action>,
    pub created: Vec<Action>,
}

/// The schedule in the time zone that it counts in.
// k8s: cronjob_controllerv2.go formatSchedule
fn read(cj: &CronJob, events: &mut Vec<EventRecord>) -> Option<Schedule> {
    let text = &cj.spec.schedule;
    if let Some(name) = &cj.spec.time_zone
        && let Err(why) = zone::load(name)
    {
        events.push(warning(cj, "UnknownTimeZone", format!("invalid timeZone: {name:?}: {why}")));
        return None;
    }
    if cj.spec.suspend {
        return None;
    }
    let parsed = if text.contains("TZ") {
        let what = format!(
            "CRON_TZ or TZ used in schedule {text:?} is not officially supported, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        );
        events.push(warning(cj, "UnsupportedSchedule", what));
        cron::parse(text)
    } else if let Some(zone) = &cj.spec.time_zone {
        cron::parse(&format!("TZ={zone} {text}"))
    } else {
        cron::parse(text)
    };
    match parsed {
        Ok(schedule) => Some(schedule),
        Err(why) => {
            let what = format!("unparseable schedule: {text:?} : {why}");
            events.push(warning(cj, "UnparseableSchedule", what));
            None
        }
    }
}

/// Decides what is made now, and when to look again. `since`: earlier times are not made up for.
// k8s: cronjob_controllerv2.go syncCronJob
pub(super) fn decide(
    state: &State,
    status: &mut CronJobStatus,
    since: Option<Timestamp>,
    now: Timestamp,
    plan: &mut Plan,
) -> Started {
    let cj = &*state.cronjob;
    if cj.metadata.deleting() {
        return Started::default();
    }
    let Some(schedule) = read(cj, &mut plan.events) else { return Started::default() };
    // Times count from what the status will say.
    let cj = &CronJob { status: status.clone(), ..cj.clone() };
    let standing = match times::standing(cj, &schedule, now, true) {
        Ok(standing) => standing,
        Err(why) => {
            let what = format!("invalid schedule: {} : {why}", cj.spec.schedule);
            plan.events.push(warning(cj, "InvalidSchedule", what));
            return Started::default();
        }
    };
    if let Some(at) = times::next(cj, &schedule, now) {
        plan.requeue_by(at);
    }
    let Some(due) = standing.due.filter(|d| since.is_none_or(|s| *d > s)) else { return Started::default() };
    if standing.missed == Missed::Many {
        let what =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        plan.events.push(warning(cj, "TooManyMissedTimes", what.to_owned()));
    }
    start(state, cj, status, due, now, plan)
}

fn start(
    state: &State,
    cj: &CronJob,
    status: &mut CronJobStatus,
    due: Timestamp,
    now: Timestamp,
    plan: &mut Plan,
) -> Started {
    let too_late =
        |seconds: i64| now.as_nanosecond() - due.as_nanosecond() > i128::from(seconds) * 1_000_000_000;
    if cj.spec.starting_deadline_seconds.is_some_and(too_late) {
        let shown = due.strftime("%a, %d %b %Y %H:%M:%S +0000");
        plan.events.push(warning(
            cj,
            "MissSchedule",
            format!("Missed scheduled time to start a job: {shown}"),
        ));
        return Started::default();
    }
    let name = times::job_name(cj, due);
    let is_there = status.active.iter().any(|r| r.name == name)
        || state.jobs.iter().any(|j| *j.metadata.name == *name)
        || status.last_schedule_time == Some(due);
    if is_there || is_foreign(state, &name) {
        return Started::default();
    }
    let mut started = Started::default();
    match &*cj.spec.concurrency_policy {
        "Forbid" if !status.active.is_empty() => {
            let what = "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.events.push(normal(cj, "JobAlreadyActive", what.to_owned()));
            return started;
        }
        "Replace" => {
            started.replaced = status.active.iter().map(|r| delete(state, &r.name, &r.uid)).collect();
            status.active.clear();
        }
        _ => {}
    }
    started.created.push(create(cj, &name, due));
    started
}

/// Whether somebody else's job has that name: an own one would be in the caches by now.
fn is_foreign(state: &State, wanted: &str) -> bool {
    state
        .failures
        .iter()
        .any(|f| matches!(&f.op, Op::Create { name, .. } if name == wanted) && f.status.is("AlreadyExists"))
}

// k8s: pkg/controller/cronjob/utils.go getJobFromTemplate2
fn create(cj: &CronJob, name: &str, due: Timestamp) -> Action {
    let mut template = cj.spec.job_template.value();
    let spec = template.get_mut("spec").map(Value::take).unwrap_or_default();
    let zone = zone::load(cj.spec.time_zone.as_deref().unwrap_or("")).unwrap_or(jiff::tz::TimeZone::UTC);
    let offset = zone.to_offset(due).seconds();
    let local = due.to_zoned(zone);
    let shown = if offset == 0 {
        local.strftime("%Y-%m-%dT%H:%M:%SZ")
    } else {
        local.strftime("%Y-%m-%dT%H:%M:%S%:z")
    };
    let mut metadata = json!({
        "name": name, "namespace": cj.metadata.namespace,
        "annotations": {}, "ownerReferences": [controller_ref("batch/v1", "CronJob", &cj.metadata)],
    });
    for field in ["labels", "annotations"] {
        if let Some(v) = template.pointer_mut(&format!("/metadata/{field}")).map(Value::take)
            && v.is_object()
        {
            metadata[field] = v;
        }
    }
    metadata["annotations"][SCHEDULED_AT] = shown.to_string().into();
    let body = json!({"kind": "Job", "apiVersion": "batch/v1", "metadata": metadata, "spec": spec});
    Action::create(JOBS, &cj.metadata.namespace, name, &body)
        .on_ok(normal(cj, "SuccessfulCreate", "Created job {name}".to_owned()))
        .on_err(warning(cj, "FailedCreate", "Error creating job: {error}".to_owned()))
}

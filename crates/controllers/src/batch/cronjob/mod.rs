//! CronJob: makes jobs at given times.
//!
//! Reads cron jobs and the jobs that they manage; makes and deletes jobs and writes the cron job's status. One job for
//! one time: its name follows from the time, and a job that was made and is not in the status yet is put there before
//! another one is made.
// k8s: pkg/controller/cronjob/cronjob_controllerv2.go

mod children;
mod start;
mod state;
mod times;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Action, Answers, Caches, Controller, Delta, Interests, Key, KeySink, Plan};
use serde_json::json;

pub use self::state::{Found, State};
use super::types::{BY_CONTROLLER, CRONJOBS, CronJob, CronJobStatus, JOBS, Job};

/// The controller.
pub struct CronJobs;

/// The schedule that was followed last, and the time before which nothing is due under a newer one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Followed {
    uid: Arc<str>,
    schedule: Box<str>,
    zone: Option<Box<str>>,
    since: Option<Timestamp>,
}

impl Followed {
    /// Notes the schedule that is followed from now on. A new one does not bring up times that it would have had.
    // k8s: cronjob_controllerv2.go updateCronJob
    fn follow(&mut self, cj: &CronJob, now: Timestamp) {
        let same = self.schedule == cj.spec.schedule && self.zone == cj.spec.time_zone;
        if self.uid == cj.metadata.uid && same {
            return;
        }
        let since = (self.uid == cj.metadata.uid).then_some(now);
        *self = Followed {
            uid: cj.metadata.uid.clone(),
            schedule: cj.spec.schedule.clone(),
            zone: cj.spec.time_zone.clone(),
            since,
        };
    }
}

fn concerned(delta: &Delta<Job>, _: &Caches, sink: &mut KeySink) {
    for job in delta.both() {
        if let Some(o) = job.metadata.controller().filter(|o| o.is_a("batch", "CronJob")) {
            sink.add(Key::new(&job.metadata.namespace, &o.name));
        }
    }
}

fn asked(cj: &CronJob, answers: &Answers) -> BTreeMap<Box<str>, Found> {
    let answer = |name: &str, uid: &str| {
        Some(match answers.got(&JOBS, &cj.metadata.namespace, name)? {
            Ok(reconcile::Answer::Object(bytes)) => match reconcile::Partial::parse(bytes) {
                Ok(p) if *p.metadata.uid == *uid => Found::There,
                Ok(_) => Found::Gone,
                Err(_) => Found::Unknown,
            },
            Err(status) if status.is("NotFound") => Found::Gone,
            _ => Found::Unknown,
        })
    };
    let active = cj.status.active.iter();
    active.filter_map(|r| Some((r.uid.as_str().into(), answer(&r.name, &r.uid)?))).collect()
}

impl Controller for CronJobs {
    type State = State;
    type Memory = Followed;

    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<CronJob>();
        i.on::<Job>(concerned);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let cronjob = caches.kind::<CronJob>().by_key(key)?.clone();
        let jobs = caches.kind::<Job>().by_index(BY_CONTROLLER, &cronjob.metadata.uid).cloned().collect();
        let asked = asked(&cronjob, answers);
        Some(State { cronjob, jobs, asked, failures: answers.failures.clone() })
    }

    fn reconcile(&self, state: &State, followed: &mut Followed, now: Timestamp) -> Plan {
        followed.follow(&state.cronjob, now);
        let mut plan = Plan::default();
        let mut status = state.cronjob.status.clone();
        let excess = children::excess(state);
        children::record(state, &mut status, &mut plan.events);
        match children::settle(state, &mut status, &mut plan.events) {
            children::Settled::Yes => {}
            children::Settled::Ask(reads) => return Plan::of(reads),
            children::Settled::Later => return Plan { retry: true, ..Plan::default() },
        }
        let started = start::decide(state, &mut status, followed.since, now, &mut plan);
        plan.step(started.replaced);
        let noted = status == state.cronjob.status;
        if !noted {
            plan.step(vec![write(&state.cronjob, &status)]);
        }
        if !started.created.is_empty() {
            // What was made is put into the status as soon as the caches show it.
            plan.requeue_by(now);
        }
        plan.step(started.created);
        if noted {
            // What a job says is in the status before it goes; a job that cannot be made does not keep others.
            plan.always(excess);
        }
        plan
    }
}

fn write(cj: &CronJob, status: &CronJobStatus) -> Action {
    let body = json!({
        "active": if status.active.is_empty() { json!(null) } else { json!(status.active) },
        "lastScheduleTime": status.last_schedule_time,
        "lastSuccessfulTime": status.last_successful_time,
    });
    Action::status_patch(CRONJOBS, &cj.metadata, &body).tolerate(&["NotFound"])
}

#[cfg(test)]
mod tests;

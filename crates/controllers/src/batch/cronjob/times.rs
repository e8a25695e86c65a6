//! The times of a schedule: which is due, which comes next.
// k8s: pkg/controller/cronjob/utils.go

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use meta::cron::Schedule;
use reconcile::time;

use crate::batch::types::CronJob;

/// A job is looked for a little after its time: clocks differ.
const LATE: Duration = Duration::from_millis(100);
/// More missed times than that are told.
const MANY: i64 = 100;

/// The name of the job for a time.
// k8s: cronjob_controllerv2.go getJobName
pub(super) fn job_name(cj: &CronJob, at: Timestamp) -> String {
    format!("{}-{}", cj.metadata.name, at.as_second().div_euclid(60))
}

/// How many times went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    None,
    Few,
    Many,
}

/// Where a schedule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// From when on times count.
    earliest: Timestamp,
    /// The last time that is due.
    pub due: Option<Timestamp>,
    pub missed: Missed,
}

/// Where the schedule stands now. Many missed times cost no more than few.
///
/// # Errors
/// When the schedule has no times.
// k8s: pkg/controller/cronjob/utils.go mostRecentScheduleTime
pub(super) fn standing(
    cj: &CronJob,
    schedule: &Schedule,
    now: Timestamp,
    with_deadline: bool,
) -> Result<Standing, String> {
    let created = cj.metadata.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH);
    let mut earliest = cj.status.last_schedule_time.unwrap_or(created);
    if with_deadline && let Some(seconds) = cj.spec.starting_deadline_seconds {
        let deadline = now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN);
        earliest = earliest.max(deadline);
    }
    let never = || "time difference between two schedules is less than 1 second".to_owned();
    let first = schedule.next(earliest).ok_or_else(never)?;
    if now < first {
        return Ok(Standing { earliest, due: None, missed: Missed::None });
    }
    let second = schedule.next(first).ok_or_else(never)?;
    if now < second {
        return Ok(Standing { earliest, due: Some(first), missed: Missed::None });
    }
    let between = second.as_second() - first.as_second();
    if between < 1 {
        return Err(never());
    }
    let missed = (now.as_second() - first.as_second()) / between + 1;
    let from = Timestamp::from_second(first.as_second() + (missed - 2) * between).unwrap_or(first);
    let due = schedule.last(from, now);
    let missed = if missed > MANY { Missed::Many } else { Missed::Few };
    Ok(Standing { earliest, due, missed })
}

/// When to look next; `None` when the schedule has no times any more.
// k8s: pkg/controller/cronjob/utils.go nextScheduleTimeDuration
pub(super) fn next(cj: &CronJob, schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    let from = match standing(cj, schedule, now, false) {
        Err(_) => now,
        Ok(Standing { due: Some(due), .. }) => due,
        Ok(s) if s.missed == Missed::None => s.earliest,
        Ok(_) => now,
    };
    Some(time::after(schedule.next(from)?, LATE))
}

//! What a decision on a cron job is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use reconcile::{EventRecord, Failure};

use crate::batch::types::{CronJob, Job};

/// What a decision on a cron job depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub cronjob: Arc<CronJob>,
    /// The jobs that it manages.
    pub jobs: Vec<Arc<Job>>,
    /// Whether the server has the active jobs that the caches do not show, by UID; those that were not asked for are
    /// not here.
    pub asked: BTreeMap<Box<str>, Found>,
    pub failures: Vec<Failure>,
}

/// What the server said about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    There,
    Gone,
    /// The question failed.
    Unknown,
}

pub(super) fn warning(cj: &CronJob, reason: &'static str, message: String) -> EventRecord {
    EventRecord::warning(cj.about(), reason, message)
}

pub(super) fn normal(cj: &CronJob, reason: &'static str, message: String) -> EventRecord {
    EventRecord::normal(cj.about(), reason, message)
}

//! What controllers read of jobs and cron jobs.

use std::sync::Arc;

use jiff::Timestamp;
use meta::Gvr;
use reconcile::{IndexSink, LabelSelector, ObjectMeta, ObjectReference, Projection};
use serde::{Deserialize, Deserializer, Serialize};

use crate::core::condition::{Condition, find};
use crate::shared::template::Template;

/// `jobs`.
pub const JOBS: Gvr = Gvr::new("batch", "v1", "jobs");
/// `cronjobs`.
pub const CRONJOBS: Gvr = Gvr::new("batch", "v1", "cronjobs");
/// Index: jobs by the UID of their managing owner.
pub const BY_CONTROLLER: &str = "controller";

/// The template of a job's pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodTemplate {
    pub template: Template,
    /// Whether its containers are started again where they fail.
    pub on_failure: bool,
}

impl<'de> Deserialize<'de> for PodTemplate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let template = Template::deserialize(d)?;
        let policy = template.value().pointer("/spec/restartPolicy").map(|p| p == "OnFailure");
        Ok(PodTemplate { template, on_failure: policy == Some(true) })
    }
}

/// A job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Job {
    pub metadata: ObjectMeta,
    pub spec: JobSpec,
    pub status: JobStatus,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobSpec {
    pub parallelism: Option<i32>,
    pub completions: Option<i32>,
    pub active_deadline_seconds: Option<i64>,
    pub backoff_limit: Option<i32>,
    pub backoff_limit_per_index: Option<i32>,
    pub max_failed_indexes: Option<i32>,
    pub selector: LabelSelector,
    pub completion_mode: Box<str>,
    pub suspend: bool,
    pub pod_failure_policy: Option<Box<PodFailurePolicy>>,
    pub success_policy: Option<Box<SuccessPolicy>>,
    pub pod_replacement_policy: Box<str>,
    pub managed_by: Option<Box<str>>,
    pub ttl_seconds_after_finished: Option<i32>,
    pub template: PodTemplate,
}

/// What failed pods mean.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodFailurePolicy {
    pub rules: Vec<FailureRule>,
}

/// A rule about failed pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FailureRule {
    pub action: Box<str>,
    pub on_exit_codes: Option<OnExitCodes>,
    pub on_pod_conditions: Vec<OnPodCondition>,
}

/// Exit codes that a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OnExitCodes {
    pub container_name: Option<Box<str>>,
    pub operator: Box<str>,
    pub values: Vec<i32>,
}

/// A condition that a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct OnPodCondition {
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub status: Box<str>,
}

/// When a job has succeeded before all its indexes have.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SuccessPolicy {
    pub rules: Vec<SuccessRule>,
}

/// A rule about indexes that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SuccessRule {
    pub succeeded_indexes: Option<Box<str>>,
    pub succeeded_count: Option<i32>,
}

/// Its status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobStatus {
    pub conditions: Vec<Condition>,
    pub start_time: Option<Timestamp>,
    pub completion_time: Option<Timestamp>,
    pub active: i32,
    pub succeeded: i32,
    pub failed: i32,
    pub terminating: Option<i32>,
    pub ready: Option<i32>,
    pub completed_indexes: Box<str>,
    pub failed_indexes: Option<Box<str>>,
    pub uncounted_terminated_pods: Uncounted,
}

/// UIDs of pods that have come to their end and are not in the counters yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Uncounted {
    pub succeeded: Vec<Arc<str>>,
    pub failed: Vec<Arc<str>>,
}

impl Job {
    /// Whether this is somebody else's to look after.
    #[must_use]
    pub fn managed_elsewhere(&self) -> bool {
        self.spec.managed_by.as_deref().is_some_and(|m| m != "kubernetes.io/job-controller")
    }

    /// The condition that ended it.
    #[must_use]
    pub fn end(&self) -> Option<&Condition> {
        let ends = |c: &&Condition| matches!(&*c.kind, "Complete" | "Failed") && &*c.status == "True";
        self.status.conditions.iter().find(ends)
    }

    /// Whether it has come to its end.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.end().is_some()
    }

    /// Whether it has succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        find(&self.status.conditions, "Complete").is_some_and(|c| &*c.status == "True")
    }

    /// Whether its pods have numbers.
    #[must_use]
    pub fn indexed(&self) -> bool {
        &*self.spec.completion_mode == "Indexed"
    }

    /// Whether a pod is replaced only when it has failed, and not already when it is being deleted.
    #[must_use]
    pub fn replaces_only_failed(&self) -> bool {
        &*self.spec.pod_replacement_policy == "Failed"
    }

    /// For events about it.
    #[must_use]
    pub fn about(&self) -> ObjectReference {
        ObjectReference::to("batch/v1", "Job", &self.metadata)
    }
}

impl Projection for Job {
    const GVR: Gvr = JOBS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn indexes(&self, sink: &mut IndexSink) {
        if let Some(o) = self.metadata.controller() {
            sink.add(BY_CONTROLLER, &o.uid);
        }
    }
}

/// A cron job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CronJob {
    pub metadata: ObjectMeta,
    pub spec: CronJobSpec,
    pub status: CronJobStatus,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CronJobSpec {
    pub schedule: Box<str>,
    pub time_zone: Option<Box<str>>,
    pub starting_deadline_seconds: Option<i64>,
    pub concurrency_policy: Box<str>,
    pub suspend: bool,
    pub successful_jobs_history_limit: Option<i32>,
    pub failed_jobs_history_limit: Option<i32>,
    pub job_template: Template,
}

/// Its status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CronJobStatus {
    pub active: Vec<ObjectReference>,
    pub last_schedule_time: Option<Timestamp>,
    pub last_successful_time: Option<Timestamp>,
}

impl CronJob {
    /// For events about it.
    #[must_use]
    pub fn about(&self) -> ObjectReference {
        ObjectReference::to("batch/v1", "CronJob", &self.metadata)
    }
}

impl Projection for CronJob {
    const GVR: Gvr = CRONJOBS;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

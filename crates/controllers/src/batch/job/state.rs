//! What a decision on a job is made from, and what follows from it at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use reconcile::Failure;

use super::indexes::Indexes;
use super::policy::{self, Meaning};
use crate::batch::types::{JOBS, Job};
use crate::core::pod::{PODS, Pod};
use crate::owners::{Claimer, MayAdopt};

/// Holds a pod until its end is in the counters of its job.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// The index of a pod: annotation and label.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How many pods of the index failed before.
pub const FAILED_BEFORE: &str = "batch.kubernetes.io/job-index-failure-count";
/// How many failed that do not count.
pub const IGNORED_BEFORE: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// At most so many pods are made, deleted or counted by one decision.
// k8s: job_controller.go MaxPodCreateDeletePerSync, MaxUncountedPods
pub const STEP_LIMIT: usize = 500;

/// What a decision depends on.
#[derive(Clone, Debug)]
pub enum State {
    Job(JobState),
    /// A pod with the finalizer that no job will take off.
    Orphan(Arc<Pod>),
}

/// What a decision on a job depends on.
#[derive(Clone, Debug, Default)]
pub struct JobState {
    pub job: Arc<Job>,
    /// Pods that it manages, and those that nobody manages and whose labels match.
    pub pods: Vec<Arc<Pod>>,
    pub may_adopt: MayAdopt,
    pub failures: Vec<Failure>,
}

impl JobState {
    pub(super) fn claimer(&self) -> Claimer<'_> {
        Claimer {
            owner: &self.job.metadata,
            owner_gvr: JOBS,
            owner_api_version: "batch/v1",
            owner_kind: "Job",
            selector: &self.job.spec.selector,
            gvr: PODS,
        }
    }
}

/// A number in an annotation; what is none counts as 0.
fn annotated(pod: &Pod, key: &str) -> u32 {
    let n = pod.metadata.annotations.get(key).and_then(|v| v.parse::<i32>().ok());
    n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

/// A pod of a job.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    pub pod: &'a Arc<Pod>,
    /// Any index, also one beyond the job's.
    pub index: Option<i64>,
    pub tracked: bool,
    pub failed: bool,
    pub succeeded: bool,
}

impl Member<'_> {
    /// How many pods of its index failed before it: those that count, and those that do not.
    pub(super) fn failed_before(&self) -> (u32, u32) {
        (annotated(self.pod, FAILED_BEFORE), annotated(self.pod, IGNORED_BEFORE))
    }

    pub(super) fn uid(&self) -> &str {
        &self.pod.metadata.uid
    }
}

/// A job's pods, counted.
pub(super) struct Tally<'a> {
    pub state: &'a JobState,
    pub job: &'a Job,
    /// In the order of their indexes.
    pub members: Vec<Member<'a>>,
    pub active: Vec<Member<'a>>,
    /// Wanted completions of an indexed job.
    pub completions: i64,
    pub uncounted_succeeded: HashSet<&'a str>,
    pub uncounted_failed: HashSet<&'a str>,
    /// Ends that the status does not know of.
    pub new_succeeded: Vec<&'a Arc<Pod>>,
    pub new_failed: Vec<&'a Arc<Pod>>,
    pub succeeded: i64,
    pub failed: i64,
    pub before: Indexes,
    pub succeeded_indexes: Indexes,
    pub failed_indexes: Option<Indexes>,
    /// The last failed pod of each index that waits for another one; it is kept until that is there.
    pub kept: BTreeMap<i64, Member<'a>>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(state: &'a JobState) -> Self {
        let job = &*state.job;
        let owned = crate::owners::owned(&state.pods, |p| &p.metadata, &job.metadata, &job.spec.selector);
        let member = |pod: &'a Arc<Pod>| Member {
            pod,
            index: pod.metadata.annotations.get(INDEX).and_then(|v| v.parse().ok()).filter(|i| *i >= 0),
            tracked: pod.metadata.has_finalizer(TRACKING),
            failed: policy::has_failed(pod, job),
            succeeded: &*pod.status.phase == "Succeeded",
        };
        let mut members: Vec<Member<'a>> = owned.map(member).collect();
        members.sort_by_key(|m| m.index);
        let uids = |list: &'a [Arc<str>]| list.iter().map(|u| &**u).collect::<HashSet<&str>>();
        let uncounted = &job.status.uncounted_terminated_pods;
        let mut tally = Tally {
            state,
            job,
            active: members.iter().filter(|m| m.pod.active()).cloned().collect(),
            members,
            completions: i64::from(job.spec.completions.unwrap_or(0)),
            uncounted_succeeded: uids(&uncounted.succeeded),
            uncounted_failed: uids(&uncounted.failed),
            new_succeeded: Vec::new(),
            new_failed: Vec::new(),
            succeeded: 0,
            failed: 0,
            before: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            kept: BTreeMap::new(),
        };
        tally.count();
        if job.indexed() {
            tally.index();
        }
        tally
    }

    /// Whether its index is one of the job's, where the job has indexes.
    pub(super) fn valid(&self, m: &Member<'_>) -> bool {
        !self.job.indexed() || m.index.is_some_and(|i| i < self.completions)
    }

    pub(super) fn meaning(&self, m: &Member<'_>) -> Meaning {
        policy::meaning(self.job.spec.pod_failure_policy.as_deref(), m.pod)
    }

    // k8s: job_controller.go getNewFinishedPods
    fn count(&mut self) {
        let mut ignored = 0;
        let (mut succeeded, mut failed) = (Vec::new(), Vec::new());
        for m in self.members.iter().filter(|m| m.tracked && self.valid(m)) {
            if m.succeeded && !self.uncounted_succeeded.contains(m.uid()) {
                succeeded.push(m.pod);
            }
            if m.failed && !self.uncounted_failed.contains(m.uid()) {
                failed.push(m.pod);
                ignored += usize::from(self.meaning(m) == Meaning::Ignore);
            }
        }
        (self.new_succeeded, self.new_failed) = (succeeded, failed);
        let total = |counted: i32, new: usize, uncounted: usize| {
            i64::from(counted) + i64::try_from(new + uncounted).unwrap_or(i64::MAX)
        };
        let status = &self.job.status;
        self.succeeded = total(status.succeeded, self.new_succeeded.len(), self.uncounted_succeeded.len());
        self.failed = total(status.failed, self.new_failed.len() - ignored, self.uncounted_failed.len());
    }

    // k8s: indexed_job_utils.go calculateSucceededIndexes, calculateFailedIndexes
    fn index(&mut self) {
        let status = &self.job.status;
        self.before = Indexes::parse(&status.completed_indexes, self.completions);
        let indexes = |t: &Self, which: &dyn Fn(&Member<'_>) -> bool| -> Vec<i64> {
            let members = t.members.iter().filter(|m| m.tracked && t.valid(m) && which(m));
            members.filter_map(|m| m.index).collect()
        };
        self.succeeded_indexes = self.before.with(indexes(self, &|m| m.succeeded));
        self.succeeded = self.succeeded_indexes.total();
        let Some(limit) = self.job.spec.backoff_limit_per_index else { return };
        let text = status.failed_indexes.as_deref().unwrap_or("");
        let failed = indexes(self, &|m| self.index_failed(m, limit));
        self.failed_indexes = Some(Indexes::parse(text, self.completions).with(failed));
        self.kept = self.to_keep();
    }

    // k8s: indexed_job_utils.go isIndexFailed
    fn index_failed(&self, m: &Member<'_>, limit: i32) -> bool {
        m.failed
            && match self.meaning(m) {
                Meaning::FailIndex => true,
                Meaning::Ignore => false,
                _ => i64::from(m.failed_before().0) >= i64::from(limit),
            }
    }

    // k8s: indexed_job_utils.go getPodsWithDelayedDeletionPerIndex
    fn to_keep(&self) -> BTreeMap<i64, Member<'a>> {
        let active: BTreeSet<i64> = self.active.iter().filter_map(|m| m.index).collect();
        let done = |i: i64| {
            self.succeeded_indexes.has(i)
                || self.failed_indexes.as_ref().is_some_and(|f| f.has(i))
                || active.contains(&i)
        };
        let rank = |m: &Member<'_>| {
            let (counted, ignored) = m.failed_before();
            (counted.saturating_add(ignored), super::backoff::finished_at(m.pod))
        };
        let mut kept: BTreeMap<i64, Member<'a>> = BTreeMap::new();
        for m in self.members.iter().filter(|m| m.tracked && m.failed && self.valid(m)) {
            let Some(i) = m.index.filter(|i| !done(*i)) else { continue };
            let newer = kept.get(&i).is_none_or(|old| {
                let (a, b) = (rank(old), rank(m));
                a.0 <= b.0 && a.1 <= b.1
            });
            if newer {
                kept.insert(i, m.clone());
            }
        }
        kept
    }
}

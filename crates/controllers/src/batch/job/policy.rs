//! What failed pods mean to a job, and which successes are enough.
// k8s: pkg/controller/job/pod_failure_policy.go, success_policy.go

use super::indexes::Indexes;
use crate::batch::types::{Job, OnExitCodes, PodFailurePolicy, SuccessPolicy};
use crate::core::pod::Pod;

/// What the rules say of a failed pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It counts.
    Count,
    /// It does not.
    Ignore,
    /// Its index has failed.
    FailIndex,
    /// The job has failed, with this message.
    FailJob(String),
}

/// What the policy says of a failed pod; the first rule that matches decides.
// k8s: pkg/controller/job/pod_failure_policy.go matchPodFailurePolicy
pub(super) fn meaning(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Meaning {
    let m = &pod.metadata;
    for (index, rule) in policy.into_iter().flat_map(|p| &p.rules).enumerate() {
        let why = if let Some(codes) = &rule.on_exit_codes {
            exited(pod, codes).map(|(container, code)| {
                format!(
                    "Container {container} for pod {}/{} failed with exit code {code} matching {} rule at index {index}",
                    m.namespace, m.name, rule.action
                )
            })
        } else {
            let matches = |kind: &str, status: &str| {
                rule.on_pod_conditions.iter().any(|p| *p.kind == *kind && *p.status == *status)
            };
            pod.status.conditions.iter().find(|c| matches(&c.kind, &c.status)).map(|c| {
                format!(
                    "Pod {}/{} has condition {} matching {} rule at index {index}",
                    m.namespace, m.name, c.kind, rule.action
                )
            })
        };
        let Some(why) = why else { continue };
        match &*rule.action {
            "Ignore" => return Meaning::Ignore,
            "FailIndex" => return Meaning::FailIndex,
            "Count" => return Meaning::Count,
            "FailJob" => return Meaning::FailJob(why),
            _ => {}
        }
    }
    Meaning::Count
}

/// The first container, with its code, that has come to an end as the rule says.
fn exited<'a>(pod: &'a Pod, codes: &OnExitCodes) -> Option<(&'a str, i32)> {
    let all = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    let ended = all.filter_map(|c| Some((&*c.name, c.state.terminated.as_ref()?.exit_code)));
    let mut failed = ended.filter(|(_, code)| *code != 0);
    failed.find(|(name, code)| {
        let listed = codes.values.contains(code);
        codes.container_name.as_deref().is_none_or(|n| n == *name)
            && match &*codes.operator {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            }
    })
}

/// Why the successes so far are enough, if they are.
// k8s: pkg/controller/job/success_policy.go matchSuccessPolicy
pub(super) fn enough(
    policy: Option<&SuccessPolicy>,
    completions: i64,
    succeeded: &Indexes,
) -> Option<String> {
    let policy = policy.filter(|_| !succeeded.is_empty())?;
    let met = policy.rules.iter().position(|rule| {
        let wanted = rule.succeeded_count.map(i64::from);
        match &rule.succeeded_indexes {
            None => wanted.is_some_and(|n| succeeded.total() >= n),
            Some(text) => {
                let required = Indexes::parse(text, completions);
                let there = required.overlap(succeeded);
                !required.is_empty() && (there == required.total() || wanted.is_some_and(|n| there >= n))
            }
        }
    })?;
    Some(format!("Matched rules at index {met}"))
}

/// Whether a pod has failed, as its job counts.
// k8s: pkg/controller/job/job_controller.go isPodFailed
pub(super) fn has_failed(pod: &Pod, job: &Job) -> bool {
    match &*pod.status.phase {
        "Failed" => true,
        "Succeeded" => false,
        _ => !job.replaces_only_failed() && pod.metadata.deleting(),
    }
}

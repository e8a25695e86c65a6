//! Job: pods that run to completion.
// k8s: pkg/registry/batch/job/strategy.go, pkg/apis/batch/validation/validation.go

use jiff::Timestamp;
use meta::{FieldError, Path};
use schema::Value;

use super::{job_rules, job_status};
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, text};
use crate::core::pod_spec::{self, defaults::pod_spec};
use crate::defaults::{self, at, empty_map, value, with_map};
use crate::kind::{Cell, Column, Context, Kind, Operation, Strategy, WITH_STATUS, clear_status};
use crate::rules::Errors;
use crate::selectable::{Selectable, field};
use crate::warnings::{Write, names_pods};

/// `batch/v1` Job.
pub static KIND: Kind = Kind::namespaced_kind("batch", "v1", "Job", "jobs", "job")
    .with_categories(&["all"])
    .with_subresources(WITH_STATUS)
    .with_columns(COLUMNS)
    .with_selectable_fields(FIELDS)
    .with_warnings(warnings)
    .with_strategy(&JobStrategy)
    .with_generation();

const FIELDS: &[Selectable] = &[field("status.successful").at("status.succeeded").or("0")];

// k8s: pkg/printers/internalversion/printers.go printJob
const COLUMNS: &[Column] = &[
    NAME,
    text("Status", "What the job does now.", |o, _| Cell::Text(status(o).to_owned())),
    text("Completions", "Finished pods and wanted ones.", |o, _| Cell::Text(completions(o))),
    text("Duration", "How long it has run.", |o, now| Cell::Text(duration(o, now))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn status(o: &Value) -> &'static str {
    let conditions = o.list_at(&["status", "conditions"]);
    let has = |kind: &str| {
        conditions.iter().any(|c| c.str_at(&["type"]) == kind && c.str_at(&["status"]) == "True")
    };
    let deleted = !o.str_at(&["metadata", "deletionTimestamp"]).is_empty();
    match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if deleted => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () if has("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(o: &Value) -> String {
    let succeeded = o.int_at(&["status", "succeeded"]).unwrap_or(0);
    let parallelism = o.int_at(&["spec", "parallelism"]).unwrap_or(0);
    match o.int_at(&["spec", "completions"]) {
        Some(n) => format!("{succeeded}/{n}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn duration(o: &Value, now: Timestamp) -> String {
    let Some(start) = meta::time::parse(o.str_at(&["status", "startTime"])) else { return String::new() };
    let end = meta::time::parse(o.str_at(&["status", "completionTime"])).unwrap_or(now);
    meta::time::human_duration(meta::time::seconds_between(start, end))
}

/// Defaults of a job's `spec`.
// k8s: pkg/apis/batch/v1/defaults.go SetDefaults_Job
fn spec_defaults(spec: &mut Value) {
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        spec.set_at(&["completions"], 1);
    }
    value(spec, "parallelism", 1);
    let per_index = spec.get("backoffLimitPerIndex").is_some();
    value(spec, "backoffLimit", if per_index { i64::from(i32::MAX) } else { 6 });
    defaults::text(spec, "completionMode", "NonIndexed");
    value(spec, "suspend", false);
    let replacement = if spec.get("podFailurePolicy").is_some() { "Failed" } else { "TerminatingOrFailed" };
    defaults::text(spec, "podReplacementPolicy", replacement);
    value(spec, "manualSelector", false);
    at(spec, &["template"], |t| with_map(t, "spec", pod_spec));
}

struct JobStrategy;

impl Strategy for JobStrategy {
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", spec_defaults);
    }

    /// Unless the user brings a selector, the job's uid makes one.
    // k8s: pkg/registry/batch/job/strategy.go generateSelector
    fn prepare_for_create(&self, o: &mut Value, _cx: &Context) {
        clear_status(o);
        if o.bool_at(&["spec", "manualSelector"]) == Some(true) {
            return;
        }
        let uid = o.str_at(&["metadata", "uid"]).to_owned();
        let name = o.str_at(&["metadata", "name"]).to_owned();
        if uid.is_empty() || o.at(&["spec", "template"]).is_none() {
            return;
        }
        // What the user set stays, to be refused where it is something else.
        for (key, v) in job_rules::expected_labels(&uid, &name) {
            if o.at(&["spec", "template", "metadata", "labels", key]).is_none() {
                o.set_at(&["spec", "template", "metadata", "labels", key], v);
            }
        }
        if o.at(&["spec", "selector"]).is_none() {
            o.set_at(&["spec", "selector"], empty_map());
        }
        if o.at(&["spec", "selector", "matchLabels", job_rules::CONTROLLER_UID]).is_none() {
            o.set_at(&["spec", "selector", "matchLabels", job_rules::CONTROLLER_UID], uid);
        }
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        job_rules::generated(&mut errors, o);
        spec_errors(&mut errors, o);
        job_rules::host_names(&mut errors, o);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return job_status::check(new, old);
        }
        let mut errors = Errors::new();
        spec_errors(&mut errors, new);
        job_rules::update(&mut errors, new, old);
        job_rules::host_names(&mut errors, new);
        errors
    }
}

fn spec_errors(errors: &mut Errors, job: &Value) {
    let empty = empty_map();
    let (spec, path) = (job.get("spec").unwrap_or(&empty), Path::new("spec"));
    job_rules::spec(errors, spec, &path);
    job_rules::selector(errors, spec, &path);
}

// k8s: pkg/registry/batch/job/strategy.go WarningsOnCreate, WarningsOnUpdate
fn warnings(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if w.creates() {
        names_pods(&mut out, w.new);
    }
    if let Some(spec) = w.new.get("spec").filter(|_| w.changes(&["spec"])) {
        spec_warnings(&mut out, spec, "spec");
    }
    out
}

const COMPLETIONS_SOFT_LIMIT: i64 = 100_000;
const PARALLELISM_SOFT_LIMIT: i64 = 10_000;

/// What the spec of a job at that path is answered with.
// k8s: pkg/api/job/warnings.go WarningsForJobSpec
pub(super) fn spec_warnings(out: &mut Vec<String>, spec: &Value, path: &str) {
    let number = |field: &str| spec.int_at(&[field]).unwrap_or(0);
    let is_large =
        number("completions") > COMPLETIONS_SOFT_LIMIT && number("parallelism") > PARALLELISM_SOFT_LIMIT;
    if spec.str_at(&["completionMode"]) == "Indexed" && is_large {
        out.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than \
             10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    pod_spec::warnings::template(out, spec.get("template"), &format!("{path}.template"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{row, texts, yaml};

    #[test]
    fn a_plain_job() {
        let mut o = yaml(
            "metadata: {name: a, uid: u}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}",
        );
        JobStrategy.default_fields(&mut o);
        JobStrategy.prepare_for_create(&mut o, &Context::default());
        assert_eq!(texts(&JobStrategy.validate(&o)), Vec::<String>::new());
        assert_eq!(o.str_at(&["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"]), "u");
        o.set_at(&["status", "startTime"], "2026-01-01T00:00:00Z");
        let r = row(&KIND, &o, "2026-01-01T00:01:00Z");
        assert_eq!((r[1].1.as_str(), r[2].1.as_str(), r[3].1.as_str()), ("Running", "0/1", "60s"));
    }

    #[test]
    fn refuses() {
        let mut o = yaml(
            "metadata: {name: a, uid: u}\nspec: {parallelism: -1, template: {spec: {containers: [{name: c, image: i}]}}}",
        );
        JobStrategy.default_fields(&mut o);
        JobStrategy.prepare_for_create(&mut o, &Context::default());
        assert_eq!(
            texts(&JobStrategy.validate(&o)),
            [
                "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
                "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
            ]
        );
    }

    fn job(spec: &str) -> Value {
        let text = format!(
            "metadata: {{name: a, uid: u}}\nspec: {{{spec}, template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: i}}]}}}}}}"
        );
        let mut o = yaml(&text);
        JobStrategy.default_fields(&mut o);
        JobStrategy.prepare_for_create(&mut o, &Context::default());
        o
    }

    #[test]
    fn indexed_jobs() {
        let limit = "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index";
        for (spec, want) in [
            ("completionMode: Indexed, completions: 3, backoffLimitPerIndex: 1, maxFailedIndexes: 2", vec![]),
            (
                "completionMode: Indexed",
                vec!["spec.completions: Required value: when completion mode is Indexed"],
            ),
            (
                "backoffLimitPerIndex: 1",
                vec!["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
            ),
            (
                "completionMode: Indexed, completions: 200000, parallelism: 20000, backoffLimitPerIndex: 1",
                vec![
                    &format!("spec.parallelism: Invalid value: 20000: {limit}"),
                    "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
                ],
            ),
            (
                "completions: 1, managedBy: nobody",
                vec![
                    "spec.managedBy: Invalid value: \"nobody\": must be a domain-prefixed path (such as \"acme.io/foo\")",
                ],
            ),
            (
                "completions: 1, podReplacementPolicy: TerminatingOrFailed, podFailurePolicy: {rules: []}",
                vec![
                    "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \"Failed\"",
                ],
            ),
            (
                "completions: 1, successPolicy: {}",
                vec!["spec.successPolicy: Invalid value: {}: requires indexed completion mode"],
            ),
        ] {
            let mut o = job(spec);
            if spec == "completionMode: Indexed" {
                o.remove_at(&["spec", "completions"]);
            }
            assert_eq!(texts(&JobStrategy.validate(&o)), want, "{spec}");
        }
        let mut o = job("completionMode: Indexed, completions: 1001");
        let name = "x".repeat(60);
        o.set_at(&["metadata", "name"], name.clone());
        let said = texts(&JobStrategy.validate_update(&o, &o, Operation::Update));
        assert_eq!(
            said,
            [format!(
                "metadata.name: Invalid value: \"{name}\": will not able to create pod with invalid DNS label: {name}-1000"
            )]
        );
    }

    #[test]
    fn labels_that_are_taken_are_refused() {
        let mut o = yaml(
            "metadata: {name: a, uid: u}\nspec: {template: {metadata: {labels: {job-name: b}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}",
        );
        JobStrategy.default_fields(&mut o);
        JobStrategy.prepare_for_create(&mut o, &Context::default());
        let said = texts(&JobStrategy.validate(&o));
        assert!(
            said.len() == 1
                && said[0].starts_with("spec.template.metadata.labels[job-name]: Invalid value: ")
                && said[0].ends_with(": must be 'a'"),
            "{said:?}"
        );
    }

    #[test]
    fn what_may_change() {
        let change = |old: &Value, path: &[&'static str], to: Value| {
            let mut new = old.clone();
            new.set_at(path, to);
            let said = JobStrategy.validate_update(&new, old, Operation::Update);
            said.into_iter().map(|e| e.field).collect::<Vec<_>>()
        };
        let plain = job("completions: 2, parallelism: 2");
        assert_eq!(change(&plain, &["spec", "parallelism"], 5.into()), Vec::<String>::new());
        assert_eq!(change(&plain, &["spec", "completions"], 5.into()), ["spec.completions"]);
        let indexed = job("completionMode: Indexed, completions: 2, parallelism: 2");
        assert_eq!(change(&indexed, &["spec", "completions"], 5.into()), ["spec.completions"]);
        let mut both = indexed.clone();
        both.set_at(&["spec", "completions"], 5);
        both.set_at(&["spec", "parallelism"], 5);
        assert_eq!(
            texts(&JobStrategy.validate_update(&both, &indexed, Operation::Update)),
            Vec::<String>::new()
        );
        let selector = &["spec", "template", "spec", "nodeSelector", "zone"];
        assert_eq!(change(&plain, selector, "a".into()), ["spec.template"]);
        let still = job("completions: 2, suspend: true");
        assert_eq!(change(&still, selector, "a".into()), Vec::<String>::new());
        assert_eq!(
            change(&still, &["spec", "template", "spec", "affinity", "nodeAffinity"], empty_map()),
            Vec::<String>::new()
        );
        assert_eq!(
            change(&still, &["spec", "template", "spec", "terminationGracePeriodSeconds"], 1.into()),
            ["spec.template.spec"]
        );
        let mut running = still.clone();
        running.set_at(&["status", "active"], 1);
        assert_eq!(change(&running, selector, "a".into()), ["spec.template"]);
    }
}

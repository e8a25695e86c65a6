//! Job: pods that run to completion.
// k8s: pkg/registry/batch/job/strategy.go, pkg/apis/batch/validation/validation.go

use jiff::Timestamp;
use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, text};
use crate::core::pod_spec::{self, defaults::pod_spec};
use crate::defaults::{self, at, empty_map, value, with_map};
use crate::kind::{Cell, Column, Context, Kind, Operation, Strategy, WITH_STATUS, clear_status};
use crate::rules::{Errors, immutable, non_negative};
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
        for (key, v) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("job-name", &name),
        ] {
            o.set_at(&["spec", "template", "metadata", "labels", key], v.as_str());
        }
        if o.at(&["spec", "selector"]).is_none() {
            o.set_at(&["spec", "selector"], empty_map());
        }
        o.set_at(&["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"], uid);
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let empty = empty_map();
        spec_errors(&mut errors, o.get("spec").unwrap_or(&empty), true, &path);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return Vec::new();
        }
        let mut errors = self.validate(new);
        let path = Path::new("spec");
        for field in ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"] {
            immutable(&mut errors, new.at(&["spec", field]), old.at(&["spec", field]), &path.child(field));
        }
        let suspended =
            old.bool_at(&["spec", "suspend"]) == Some(true) && old.at(&["status", "startTime"]).is_none();
        if !suspended {
            let at = path.child("template");
            immutable(&mut errors, new.at(&["spec", "template"]), old.at(&["spec", "template"]), &at);
        }
        if old.str_at(&["spec", "completionMode"]) != "Indexed" {
            let at = path.child("completions");
            immutable(&mut errors, new.at(&["spec", "completions"]), old.at(&["spec", "completions"]), &at);
        }
        errors
    }
}

/// Everything wrong with a job's `spec`; templates of cron jobs have no selector.
pub(super) fn spec_errors(errors: &mut Errors, spec: &Value, with_selector: bool, path: &Path) {
    for field in
        ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"]
    {
        non_negative(errors, spec, field, path);
    }
    crate::rules::optional_one_of(errors, spec, "completionMode", path, &["NonIndexed", "Indexed"]);
    if spec.str_at(&["completionMode"]) == "Indexed" && spec.get("completions").is_none() {
        let why = "when completion mode is Indexed";
        errors.push(FieldError::required(&path.child("completions"), why));
    }
    if with_selector {
        let at = path.child("selector");
        if spec.get("selector").is_none() {
            errors.push(FieldError::required(&at, ""));
        } else {
            crate::rules::label_selector(errors, spec.get("selector"), &at);
        }
    }
    let at = path.child("template");
    let Some(template) = spec.get("template") else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    pod_spec::validate_template(errors, template, &at);
    let policy = template.str_at(&["spec", "restartPolicy"]);
    let policy_at = at.child("spec").child("restartPolicy");
    if policy.is_empty() || policy == "Always" {
        let why = "valid values: \"OnFailure\", \"Never\"";
        errors.push(FieldError::required(&policy_at, why));
    } else if !matches!(policy, "OnFailure" | "Never") {
        errors.push(FieldError::not_supported(&policy_at, policy, &["OnFailure", "Never"]));
    }
    if let Ok(s) = crate::rules::selector_of(spec.get("selector"))
        && with_selector
        && !s.is_nothing()
        && !crate::rules::selects(&s, template.at(&["metadata", "labels"]))
    {
        let at = at.child("metadata").child("labels");
        let shown = template
            .at(&["metadata", "labels"])
            .map_or_else(|| "{}".to_owned(), |l| crate::rules::printed(Some(l)));
        errors.push(FieldError::invalid(&at, shown, "`selector` does not match template `labels`"));
    }
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
}

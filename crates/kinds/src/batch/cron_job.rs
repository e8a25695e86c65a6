//! CronJob: jobs at given times.
// k8s: pkg/apis/batch/validation/validation.go ValidateCronJobSpec

use meta::field::quoted;
use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{
    AGE, NAME, age_of, boolean, container_images, container_names, int, selector_text, text, text_at,
    text_or, wide,
};
use crate::core::pod_spec::defaults::pod_spec;
use crate::defaults::{self, at, empty_map, value, with_map};
use crate::kind::Operation;
use crate::kind::{Cell, Column, Kind, Strategy, WITH_STATUS};
use crate::rules::{Errors, non_negative, one_of, printed, required};
use crate::warnings::{Write, names_pods};

/// `batch/v1` CronJob.
pub static KIND: Kind = Kind::namespaced_kind("batch", "v1", "CronJob", "cronjobs", "cronjob")
    .with_short_names(&["cj"])
    .with_categories(&["all"])
    .with_subresources(WITH_STATUS)
    .with_columns(COLUMNS)
    .with_warnings(warnings)
    .with_strategy(&CronJobStrategy)
    .with_generation();

const TEMPLATE_CONTAINERS: &[&str] = &["spec", "jobTemplate", "spec", "template", "spec", "containers"];

const COLUMNS: &[Column] = &[
    NAME,
    text("Schedule", "When jobs start.", |o, _| text_at(o, &["spec", "schedule"])),
    text("Timezone", "Time zone of the schedule.", |o, _| text_or(o, &["spec", "timeZone"], "<none>")),
    boolean("Suspend", "Whether no jobs start now.", |o, _| {
        let shown = match o.bool_at(&["spec", "suspend"]) {
            Some(true) => "True",
            Some(false) => "False",
            None => "<unset>",
        };
        Cell::Text(shown.to_owned())
    }),
    int("Active", "Running jobs.", |o, _| {
        Cell::Int(i64::try_from(o.list_at(&["status", "active"]).len()).unwrap_or(i64::MAX))
    }),
    text("Last Schedule", "When a job was started last.", |o, now| {
        let path = &["status", "lastScheduleTime"];
        Cell::Text(if o.at(path).is_some() { age_of(o, path, now) } else { "<none>".to_owned() })
    }),
    AGE,
    wide("Containers", "Names of the containers of the template.", |o, _| {
        Cell::Text(container_names(o.list_at(TEMPLATE_CONTAINERS)))
    }),
    wide("Images", "Images of the containers of the template.", |o, _| {
        Cell::Text(container_images(o.list_at(TEMPLATE_CONTAINERS)))
    }),
    wide("Selector", "The label selector of the pods.", |o, _| {
        Cell::Text(selector_text(o.at(&["spec", "jobTemplate", "spec", "selector"])))
    }),
];

/// Longest name: jobs append 11 characters to it.
const NAME_LIMIT: usize = 52;

struct CronJobStrategy;

impl Strategy for CronJobStrategy {
    // k8s: pkg/apis/batch/v1/defaults.go SetDefaults_CronJob
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |spec| {
            defaults::text(spec, "concurrencyPolicy", "Allow");
            value(spec, "suspend", false);
            value(spec, "successfulJobsHistoryLimit", 3);
            value(spec, "failedJobsHistoryLimit", 1);
            at(spec, &["jobTemplate", "spec", "template"], |t| with_map(t, "spec", pod_spec));
        });
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = spec_errors(o, None);
        let name = o.str_at(&["metadata", "name"]);
        if name.len() > NAME_LIMIT {
            let why = "must be no more than 52 characters";
            errors.push(FieldError::invalid(&Path::new("metadata").child("name"), quoted(name), why));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        // Older ones with longer names stay.
        if op == Operation::UpdateStatus { Vec::new() } else { spec_errors(new, Some(old)) }
    }
}

fn spec_errors(new: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let empty = empty_map();
    let spec = new.get("spec").unwrap_or(&empty);
    if let Some(text) = required(&mut errors, spec, "schedule", &path) {
        let had_zone = old.is_some_and(|o| o.str_at(&["spec", "schedule"]).contains("TZ"));
        schedule(&mut errors, text, had_zone, spec.get("timeZone").is_some(), &path.child("schedule"));
    }
    non_negative(&mut errors, spec, "startingDeadlineSeconds", &path);
    if let Some(zone) = spec.get("timeZone").and_then(Value::as_str)
        && old.is_none_or(|o| o.at(&["spec", "timeZone"]) != spec.get("timeZone"))
    {
        time_zone(&mut errors, zone, &path.child("timeZone"));
    }
    one_of(&mut errors, spec, "concurrencyPolicy", &path, &["Allow", "Forbid", "Replace"]);
    let at = path.child("jobTemplate").child("spec");
    let job = spec.at(&["jobTemplate", "spec"]).unwrap_or(&empty);
    super::job_rules::spec(&mut errors, job, &at);
    if let Some(selector) = job.get("selector") {
        let why = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(&at.child("selector"), printed(Some(selector)), why));
    }
    if job.bool_at(&["manualSelector"]) == Some(true) {
        let e = FieldError::not_supported(&at.child("manualSelector"), "", &["nil", "false"]);
        errors.push(FieldError { value: Some("true".to_owned()), ..e });
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        non_negative(&mut errors, spec, field, &path);
    }
    errors
}

// k8s: pkg/apis/batch/validation/validation.go validateScheduleFormat
fn schedule(errors: &mut Errors, text: &str, had_zone: bool, with_zone: bool, at: &Path) {
    if let Err(why) = meta::cron::parse(text) {
        errors.push(FieldError::invalid(at, quoted(text), why));
    }
    let why = match text.contains("TZ") {
        true if had_zone && with_zone => "cannot use both timeZone field and TZ or CRON_TZ in schedule",
        true if !had_zone => "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        _ => return,
    };
    errors.push(FieldError::invalid(at, quoted(text), why));
}

// k8s: pkg/apis/batch/validation/validation.go validateTimeZone
fn time_zone(errors: &mut Errors, name: &str, at: &Path) {
    let mut say = |why: String| errors.push(FieldError::invalid(at, quoted(name), why));
    if name.is_empty() {
        return say("timeZone must be nil or non-empty string".to_owned());
    }
    let is_valid = |part: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
        !matches!(part, "." | "..")
            && !part.starts_with('-')
            && (1..=14).contains(&part.len())
            && part.bytes().all(known)
    };
    if !name.split('/').all(is_valid) {
        return say(format!("unknown time zone {name}"));
    }
    if name.eq_ignore_ascii_case("Local") {
        say("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones".to_owned());
    }
    if let Err(why) = meta::zone::load(name) {
        say(why);
    }
}

// k8s: pkg/registry/batch/cronjob/strategy.go WarningsOnCreate, WarningsOnUpdate
fn warnings(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if w.creates() {
        names_pods(&mut out, w.new);
    }
    if let Some(spec) = w.new.at(&["spec", "jobTemplate", "spec"]).filter(|_| w.changes(&["spec"])) {
        super::job::spec_warnings(&mut out, spec, "spec.jobTemplate.spec");
    }
    if w.operation == Operation::Update && w.new.str_at(&["spec", "schedule"]).contains("TZ") {
        out.push(
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                .to_owned(),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn schedules_and_zones() {
        let make = |spec: &str| {
            let job = "jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}";
            let mut o = yaml(&format!("metadata: {{name: c}}\nspec: {{{spec}, {job}}}"));
            CronJobStrategy.default_fields(&mut o);
            o
        };
        let tz = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        for (spec, want) in [
            ("schedule: \"* * * * *\", timeZone: Europe/Berlin", vec![]),
            (
                "schedule: x",
                vec!["spec.schedule: Invalid value: \"x\": expected exactly 5 fields, found 1: [x]"],
            ),
            (
                "schedule: \"TZ=UTC * * * * *\"",
                vec![&format!("spec.schedule: Invalid value: \"TZ=UTC * * * * *\": {tz}")],
            ),
            (
                "schedule: \"@daily\", timeZone: Mars/Base",
                vec!["spec.timeZone: Invalid value: \"Mars/Base\": unknown time zone Mars/Base"],
            ),
            (
                "schedule: \"@daily\", timeZone: ../etc",
                vec!["spec.timeZone: Invalid value: \"../etc\": unknown time zone ../etc"],
            ),
            (
                "schedule: \"@daily\", timeZone: \"\"",
                vec!["spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string"],
            ),
            (
                "schedule: \"@daily\", timeZone: Local",
                vec![
                    "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
                ],
            ),
        ] {
            assert_eq!(texts(&CronJobStrategy.validate(&make(spec))), want, "{spec}");
        }
        // What was there before may stay.
        let old = make("schedule: \"TZ=UTC * * * * *\"");
        assert_eq!(
            texts(&CronJobStrategy.validate_update(&old, &old, Operation::Update)),
            Vec::<String>::new()
        );
        let both = make("schedule: \"TZ=UTC * * * * *\", timeZone: UTC");
        assert_eq!(
            texts(&CronJobStrategy.validate_update(&both, &old, Operation::Update)),
            [
                "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use both timeZone field and TZ or CRON_TZ in schedule"
            ]
        );
    }
}

//! CronJob: jobs at given times.
// k8s: pkg/apis/batch/validation/validation.go ValidateCronJobSpec

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
use crate::rules::{Errors, non_negative, one_of, required};
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
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let empty = empty_map();
        let spec = o.get("spec").unwrap_or(&empty);
        if o.str_at(&["metadata", "name"]).len() > NAME_LIMIT {
            let shown = meta::field::quoted(o.str_at(&["metadata", "name"]));
            let why = "must be no more than 52 characters";
            errors.push(FieldError::invalid(&Path::new("metadata").child("name"), shown, why));
        }
        if let Some(schedule) = required(&mut errors, spec, "schedule", &path)
            && let Err(why) = super::schedule::check(schedule)
        {
            errors.push(FieldError::invalid(&path.child("schedule"), meta::field::quoted(schedule), why));
        }
        for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
            non_negative(&mut errors, spec, field, &path);
        }
        one_of(&mut errors, spec, "concurrencyPolicy", &path, &["Allow", "Forbid", "Replace"]);
        let at = path.child("jobTemplate").child("spec");
        super::job::spec_errors(&mut errors, spec.at(&["jobTemplate", "spec"]).unwrap_or(&empty), false, &at);
        errors
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

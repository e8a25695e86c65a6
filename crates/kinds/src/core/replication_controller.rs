//! ReplicationController: a number of pods of one template; ReplicaSet is its successor.

use meta::labels::Selector;
use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, int, int_or_zero, labels_text, wide};
use crate::core::pod_spec::{self, defaults::pod_spec};
use crate::defaults::{at, value, with_map};
use crate::kind::{Cell, Column, Kind, Strategy, WITH_SCALE};
use crate::rules::{Errors, non_negative, selects};
use crate::selectable::{Selectable, field};
use crate::warnings::{Write, names_pods};

/// `v1` ReplicationController.
pub static KIND: Kind = Kind::namespaced_kind(
    "",
    "v1",
    "ReplicationController",
    "replicationcontrollers",
    "replicationcontroller",
)
.with_short_names(&["rc"])
.with_categories(&["all"])
.with_subresources(WITH_SCALE)
.with_columns(COLUMNS)
.with_selectable_fields(FIELDS)
.with_warnings(warnings)
.with_strategy(&ReplicationControllerStrategy)
.with_generation();

// k8s: pkg/apis/core/v1/conversion.go
const FIELDS: &[Selectable] = &[field("status.replicas").or("0")];

const COLUMNS: &[Column] = &[
    NAME,
    int("Desired", "Desired pods.", |o, _| int_or_zero(o, &["spec", "replicas"])),
    int("Current", "Pods there are.", |o, _| int_or_zero(o, &["status", "replicas"])),
    int("Ready", "Ready pods.", |o, _| int_or_zero(o, &["status", "readyReplicas"])),
    AGE,
    CONTAINERS,
    IMAGES,
    wide("Selector", "Labels of the pods.", |o, _| Cell::Text(labels_text(o.at(&["spec", "selector"])))),
];

struct ReplicationControllerStrategy;

impl Strategy for ReplicationControllerStrategy {
    // k8s: pkg/apis/core/v1/defaults.go SetDefaults_ReplicationController
    fn default_fields(&self, o: &mut Value) {
        let labels = o.at(&["spec", "template", "metadata", "labels"]).cloned();
        with_map(o, "spec", |spec| {
            value(spec, "replicas", 1);
            if let Some(labels) = labels.clone() {
                value(spec, "selector", labels);
            }
            at(spec, &["template"], |t| with_map(t, "spec", pod_spec));
        });
        if let Some(labels) = labels {
            with_map(o, "metadata", |m| value(m, "labels", labels));
        }
    }

    // k8s: pkg/apis/core/validation/validation.go ValidateReplicationControllerSpec
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let empty = crate::defaults::empty_map();
        let spec = o.get("spec").unwrap_or(&empty);
        non_negative(&mut errors, spec, "minReadySeconds", &path);
        non_negative(&mut errors, spec, "replicas", &path);
        let selector: Vec<(&str, &str)> = spec
            .get("selector")
            .and_then(Value::as_map)
            .map(|m| m.iter().map(|(k, v)| (k, v.as_str().unwrap_or(""))).collect())
            .unwrap_or_default();
        if selector.is_empty() {
            errors.push(FieldError::required(&path.child("selector"), ""));
        }
        let Some(template) = spec.get("template") else {
            errors.push(FieldError::required(&path.child("template"), ""));
            return errors;
        };
        let labels = template.at(&["metadata", "labels"]);
        if !selects(&Selector::from_labels(selector), labels) {
            let at = path.child("template").child("metadata").child("labels");
            let shown = labels.map_or_else(|| "{}".to_owned(), |l| crate::rules::printed(Some(l)));
            errors.push(FieldError::invalid(&at, shown, "`selector` does not match template `labels`"));
        }
        pod_spec::validate_template(&mut errors, template, &path.child("template"));
        pod_spec::always_restarted(&mut errors, spec, "ReplicationController", &path);
        errors
    }
}

// k8s: pkg/registry/core/replicationcontroller/strategy.go WarningsOnCreate, WarningsOnUpdate
fn warnings(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if w.creates() {
        names_pods(&mut out, w.new);
    }
    if w.changes(&["spec"]) {
        // An update is told of the template that it replaces: upstream hands the two over the other way round.
        let about = w.old.unwrap_or(w.new);
        pod_spec::warnings::template(&mut out, about.at(&["spec", "template"]), "spec.template");
    }
    out
}

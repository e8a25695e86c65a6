//! ReplicaSet: a number of pods of one template.
// k8s: pkg/registry/apps/replicaset/strategy.go

use meta::{FieldError, Path};
use schema::Value;

use super::rolling;
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, int, int_or_zero};
use crate::core::pod_spec::{self, defaults::pod_spec};
use crate::defaults::{value, with_map};
use crate::kind::{Column, Kind, Operation, Strategy, WITH_SCALE};
use crate::rules::{Errors, immutable, non_negative};
use crate::selectable::{Selectable, field};

/// `apps/v1` ReplicaSet.
pub static KIND: Kind = Kind::namespaced_kind("apps", "v1", "ReplicaSet", "replicasets", "replicaset")
    .with_short_names(&["rs"])
    .with_categories(&["all"])
    .with_subresources(WITH_SCALE)
    .with_columns(COLUMNS)
    .with_selectable_fields(FIELDS)
    .with_warnings(pod_spec::warnings::workload)
    .with_strategy(&ReplicaSetStrategy)
    .with_generation();

const FIELDS: &[Selectable] = &[field("status.replicas").or("0")];

const COLUMNS: &[Column] = &[
    NAME,
    int("Desired", "Desired pods.", |o, _| int_or_zero(o, &["spec", "replicas"])),
    int("Current", "Pods there are.", |o, _| int_or_zero(o, &["status", "replicas"])),
    int("Ready", "Ready pods.", |o, _| int_or_zero(o, &["status", "readyReplicas"])),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

struct ReplicaSetStrategy;

impl Strategy for ReplicaSetStrategy {
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |spec| {
            value(spec, "replicas", 1);
            with_map(spec, "template", |t| with_map(t, "spec", pod_spec));
        });
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let empty = crate::defaults::empty_map();
        let spec = o.get("spec").unwrap_or(&empty);
        non_negative(&mut errors, spec, "replicas", &path);
        non_negative(&mut errors, spec, "minReadySeconds", &path);
        pod_spec::selector_and_template(&mut errors, spec, "deployment", &path);
        pod_spec::always_restarted(&mut errors, spec, "ReplicaSet", &path);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return rolling::status_counts(new);
        }
        let mut errors = self.validate(new);
        let selector = &["spec", "selector"];
        immutable(&mut errors, new.at(selector), old.at(selector), &Path::new("spec").child("selector"));
        errors
    }
}

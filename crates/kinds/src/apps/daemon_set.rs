//! DaemonSet: a pod of one template on every node that fits.
// k8s: pkg/registry/apps/daemonset/strategy.go, pkg/apis/apps/validation/validation.go ValidateDaemonSetSpec

use meta::{FieldError, Path};
use schema::Value;

use super::rolling;
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, int, int_or_zero, labels_text, text};
use crate::core::pod_spec::{self, defaults::pod_spec};
use crate::defaults::{value, with_map};
use crate::kind::{Cell, Column, Kind, Operation, Strategy, WITH_STATUS};
use crate::rules::{Errors, immutable, non_negative};
use crate::warnings::Write;

/// `apps/v1` DaemonSet.
pub static KIND: Kind = Kind::namespaced_kind("apps", "v1", "DaemonSet", "daemonsets", "daemonset")
    .with_short_names(&["ds"])
    .with_categories(&["all"])
    .with_subresources(WITH_STATUS)
    .with_columns(COLUMNS)
    .with_warnings(warnings)
    .with_strategy(&DaemonSetStrategy)
    .with_generation();

const COLUMNS: &[Column] = &[
    NAME,
    int("Desired", "Nodes that should run the pod.", |o, _| {
        int_or_zero(o, &["status", "desiredNumberScheduled"])
    }),
    int("Current", "Nodes that run the pod and should.", |o, _| {
        int_or_zero(o, &["status", "currentNumberScheduled"])
    }),
    int("Ready", "Nodes with a ready pod.", |o, _| int_or_zero(o, &["status", "numberReady"])),
    int("Up-to-date", "Nodes with a pod of the newest template.", |o, _| {
        int_or_zero(o, &["status", "updatedNumberScheduled"])
    }),
    int("Available", "Nodes with an available pod.", |o, _| int_or_zero(o, &["status", "numberAvailable"])),
    text("Node Selector", "Labels that nodes must have.", |o, _| {
        Cell::Text(labels_text(o.at(&["spec", "template", "spec", "nodeSelector"])))
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

struct DaemonSetStrategy;

impl Strategy for DaemonSetStrategy {
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |spec| {
            with_map(spec, "updateStrategy", |s| rolling::strategy(s, (1.into(), 0.into())));
            value(spec, "revisionHistoryLimit", 10);
            with_map(spec, "template", |t| with_map(t, "spec", pod_spec));
        });
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let empty = crate::defaults::empty_map();
        let spec = o.get("spec").unwrap_or(&empty);
        pod_spec::selector_and_template(&mut errors, spec, "daemonset", &path);
        pod_spec::always_restarted(&mut errors, spec, "DaemonSet", &path);
        non_negative(&mut errors, spec, "minReadySeconds", &path);
        non_negative(&mut errors, spec, "revisionHistoryLimit", &path);
        let at = path.child("updateStrategy");
        match spec.str_at(&["updateStrategy", "type"]) {
            "OnDelete" => {}
            "RollingUpdate" => match spec.at(&["updateStrategy", "rollingUpdate"]) {
                Some(r) => rolling::validate_exclusive(&mut errors, r, &at.child("rollingUpdate")),
                None => errors.push(FieldError::required(&at.child("rollingUpdate"), "")),
            },
            other => {
                let supported = ["RollingUpdate", "OnDelete"];
                errors.push(FieldError::not_supported(&at.child("type"), other, &supported));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return Vec::new();
        }
        let mut errors = self.validate(new);
        let selector = &["spec", "selector"];
        immutable(&mut errors, new.at(selector), old.at(selector), &Path::new("spec").child("selector"));
        errors
    }
}

// k8s: pkg/registry/apps/daemonset/strategy.go WarningsOnCreate, WarningsOnUpdate
fn warnings(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if w.changes(&["spec", "template"]) {
        pod_spec::warnings::template(&mut out, w.new.at(&["spec", "template"]), "spec.template");
    }
    out
}

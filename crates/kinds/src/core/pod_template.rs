//! PodTemplate: a template of pods on its own.

use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{NAME, container_images, container_names, labels_text, text};
use crate::core::pod_spec::{self, defaults::pod_spec};
use crate::defaults::with_map;
use crate::kind::{Cell, Column, Kind, Strategy};
use crate::warnings::Write;

/// `v1` PodTemplate.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "PodTemplate", "podtemplates", "podtemplate")
    .with_columns(COLUMNS)
    .with_warnings(warnings)
    .with_strategy(&PodTemplateStrategy)
    .with_generation()
    .returning_deleted();

const COLUMNS: &[Column] = &[
    NAME,
    text("Containers", "Names of the containers.", |o, _| {
        Cell::Text(container_names(o.list_at(&["template", "spec", "containers"])))
    }),
    text("Images", "Images of the containers.", |o, _| {
        Cell::Text(container_images(o.list_at(&["template", "spec", "containers"])))
    }),
    text("Pod Labels", "Labels of the pods.", |o, _| {
        Cell::Text(labels_text(o.at(&["template", "metadata", "labels"])))
    }),
];

struct PodTemplateStrategy;

impl Strategy for PodTemplateStrategy {
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "template", |t| with_map(t, "spec", pod_spec));
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        new.get("template") != old.get("template")
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let empty = crate::defaults::empty_map();
        pod_spec::validate_template(&mut errors, o.get("template").unwrap_or(&empty), &Path::new("template"));
        errors
    }
}

// k8s: pkg/registry/core/podtemplate/strategy.go WarningsOnCreate, WarningsOnUpdate
fn warnings(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if w.changes(&["template"]) {
        pod_spec::warnings::template(&mut out, w.new.get("template"), "template");
    }
    out
}

//! ControllerRevision: an immutable record of an earlier state of a workload.
// k8s: pkg/apis/apps/validation/validation.go ValidateControllerRevision

use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{AGE, NAME, int, int_or_zero, text};
use crate::kind::{Cell, Column, Context, Kind, Operation, Strategy};
use crate::rules::{Errors, immutable, non_negative};

/// `apps/v1` ControllerRevision.
pub static KIND: Kind =
    Kind::namespaced_kind("apps", "v1", "ControllerRevision", "controllerrevisions", "controllerrevision")
        .with_columns(COLUMNS)
        .with_strategy(&ControllerRevisionStrategy);

const COLUMNS: &[Column] = &[
    NAME,
    text("Controller", "The workload that it is a revision of.", |o, _| Cell::Text(controller(o))),
    int("Revision", "Number of the revision.", |o, _| int_or_zero(o, &["revision"])),
    AGE,
];

fn controller(o: &Value) -> String {
    let owners = o.list_at(&["metadata", "ownerReferences"]);
    let Some(c) = owners.iter().find(|r| r.bool_at(&["controller"]) == Some(true)) else {
        return "<none>".to_owned();
    };
    let group = meta::gvr::split_api_version(c.str_at(&["apiVersion"])).0;
    let kind = c.str_at(&["kind"]).to_lowercase();
    let dot = if group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{group}/{}", c.str_at(&["name"]))
}

struct ControllerRevisionStrategy;

impl Strategy for ControllerRevisionStrategy {
    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if o.get("data").is_none() {
            errors.push(FieldError::required(&Path::new("data"), "data is mandatory"));
        }
        non_negative(&mut errors, o, "revision", &Path::default());
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        immutable(&mut errors, new.get("data"), old.get("data"), &Path::new("data"));
        errors
    }
}

//! PersistentVolumeClaim: a wish for storage.

use meta::{FieldError, Path, name};
use schema::Value;

use crate::columns::{AGE, NAME, text, text_at, text_or, wide};
use crate::core::access_modes::{phase, quantity_text, short};
use crate::core::pod_spec::quantity;
use crate::defaults::{self, with_map};
use crate::kind::{Cell, Column, Context, Kind, Operation, Strategy, WITH_STATUS, carry};
use crate::rules::{Errors, each, label_selector, optional_one_of, printed, same};
use crate::warnings::Write;

/// `v1` PersistentVolumeClaim.
pub static KIND: Kind = Kind::namespaced_kind(
    "",
    "v1",
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    "persistentvolumeclaim",
)
.with_short_names(&["pvc"])
.with_subresources(WITH_STATUS)
.with_columns(COLUMNS)
.with_warnings(told)
.with_strategy(&PersistentVolumeClaimStrategy)
.returning_deleted();

const COLUMNS: &[Column] = &[
    NAME,
    text("Status", "Phase.", |o, _| Cell::Text(phase(o))),
    text("Volume", "The volume that it is bound to.", |o, _| text_at(o, &["spec", "volumeName"])),
    text("Capacity", "Size of the volume.", |o, _| {
        Cell::Text(bound(o, quantity_text(o.at(&["status", "capacity", "storage"]))))
    }),
    text("Access Modes", "How it can be mounted.", |o, _| {
        Cell::Text(bound(o, short(o.list_at(&["status", "accessModes"]))))
    }),
    text("StorageClass", "Its class.", |o, _| text_at(o, &["spec", "storageClassName"])),
    text("VolumeAttributesClass", "Its attributes class.", |o, _| {
        text_or(o, &["spec", "volumeAttributesClassName"], "<unset>")
    }),
    AGE,
    wide("VolumeMode", "Filesystem or block device.", |o, _| text_or(o, &["spec", "volumeMode"], "<unset>")),
];

/// Only a bound claim shows what it got.
fn bound(o: &Value, shown: String) -> String {
    if o.str_at(&["spec", "volumeName"]).is_empty() { String::new() } else { shown }
}

struct PersistentVolumeClaimStrategy;

impl Strategy for PersistentVolumeClaimStrategy {
    // k8s: pkg/apis/core/v1/defaults.go SetDefaults_PersistentVolumeClaim
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |s| defaults::text(s, "volumeMode", "Filesystem"));
        with_map(o, "status", |s| defaults::text(s, "phase", "Pending"));
    }

    fn prepare_for_create(&self, o: &mut Value, _cx: &Context) {
        o.set_at(&["status"], defaults::empty_map());
        o.set_at(&["status", "phase"], "Pending");
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let empty = defaults::empty_map();
        validate_spec(&mut errors, o.get("spec").unwrap_or(&empty), &Path::new("spec"));
        errors
    }

    // k8s: pkg/apis/core/validation/validation.go ValidatePersistentVolumeClaimUpdate
    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return Vec::new();
        }
        let mut errors = self.validate(new);
        let (Some(mut after), Some(before)) = (new.get("spec").cloned(), old.get("spec")) else {
            return errors;
        };
        // The binder sets these once; the size of a bound claim may change.
        let once: &[&'static str] = &["volumeName", "storageClassName"];
        for field in once.iter().filter(|f| before.str_at(&[f]).is_empty()) {
            carry(&mut after, before, field);
        }
        if !before.str_at(&["volumeName"]).is_empty() {
            carry(&mut after, before, "resources");
        }
        carry(&mut after, before, "volumeAttributesClassName");
        if !same(Some(&after), Some(before)) {
            let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            errors.push(FieldError::forbidden(&Path::new("spec"), why));
        }
        errors
    }
}

/// Everything wrong with the spec of a claim, or of a template of claims.
// k8s: pkg/apis/core/validation/validation.go ValidatePersistentVolumeClaimSpec
pub fn validate_spec(errors: &mut Errors, spec: &Value, path: &Path) {
    let modes = spec.list_at(&["accessModes"]);
    let at = path.child("accessModes");
    if modes.is_empty() {
        errors.push(FieldError::required(&at, "at least 1 access mode is required"));
    }
    label_selector(errors, spec.get("selector"), &path.child("selector"));
    let supported = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    for mode in modes.iter().filter_map(Value::as_str).filter(|m| !supported.contains(m)) {
        errors.push(FieldError::not_supported(&at, mode, &supported));
    }
    if modes.len() > 1 && modes.iter().any(|m| m.as_str() == Some("ReadWriteOncePod")) {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(&at, why));
    }
    match spec.at(&["resources", "requests", "storage"]) {
        None => errors.push(FieldError::required(&path.child("resources").key("storage"), "")),
        Some(v) if quantity(v).is_none_or(|q| q.sign() <= 0) => {
            let at = path.child("resources").key("storage");
            let why = "must be greater than zero";
            errors.push(FieldError::invalid(&at, printed(Some(v)), why));
        }
        Some(_) => {}
    }
    let class = spec.str_at(&["storageClassName"]);
    if !class.is_empty() {
        each(errors, &path.child("storageClassName"), class, name::dns1123_subdomain(class));
    }
    optional_one_of(errors, spec, "volumeMode", path, &["Block", "Filesystem"]);
}

// k8s: pkg/api/persistentvolumeclaim/util.go GetWarningsForPersistentVolumeClaim
fn told(w: &Write<'_>) -> Vec<String> {
    const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
    let mut out = Vec::new();
    if !w.is_whole() {
        return out;
    }
    if w.new.at(&["metadata", "annotations", CLASS]).is_some() {
        let why = "deprecated since v1.8; use \"storageClassName\" attribute instead";
        out.push(format!("metadata.annotations[{CLASS}]: {why}"));
    }
    if let Some(spec) = w.new.get("spec") {
        crate::core::pod_spec::warnings::claim(&mut out, spec, &Path::new("spec"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn rules() {
        let s = PersistentVolumeClaimStrategy;
        let old = yaml("spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}");
        assert_eq!(texts(&s.validate(&old)), Vec::<String>::new());
        assert_eq!(
            texts(&s.validate(&yaml("spec: {accessModes: [Often]}"))),
            [
                "spec.accessModes: Unsupported value: \"Often\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                "spec.resources[storage]: Required value",
            ]
        );
        let mut new = old.clone();
        new.set_at(&["spec", "volumeName"], "pv");
        assert_eq!(texts(&s.validate_update(&new, &old, Operation::Update)), Vec::<String>::new());
        new.set_at(&["spec", "resources", "requests", "storage"], "2Gi");
        assert!(
            texts(&s.validate_update(&new, &old, Operation::Update))[0]
                .starts_with("spec: Forbidden: spec is immutable")
        );
    }
}

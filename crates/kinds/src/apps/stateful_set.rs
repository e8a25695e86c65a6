//! StatefulSet: numbered pods, each with its own volumes and network name.
// k8s: pkg/registry/apps/statefulset/strategy.go, pkg/apis/apps/validation/validation.go ValidateStatefulSetSpec

use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, text};
use crate::core::pod_spec::{self, defaults::pod_spec};
use crate::defaults::{self, at, each, value, with_map};
use crate::kind::{Cell, Column, Kind, Operation, Strategy, WITH_SCALE, carry};
use crate::rules::{Errors, non_negative, same};

/// `apps/v1` StatefulSet.
pub static KIND: Kind = Kind::namespaced_kind("apps", "v1", "StatefulSet", "statefulsets", "statefulset")
    .with_short_names(&["sts"])
    .with_categories(&["all"])
    .with_subresources(WITH_SCALE)
    .with_columns(COLUMNS)
    .with_strategy(&StatefulSetStrategy);

const COLUMNS: &[Column] = &[
    NAME,
    text("Ready", "Ready pods and desired pods.", |o, _| {
        let n = |path: &[&str]| o.int_at(path).unwrap_or(0);
        Cell::Text(format!("{}/{}", n(&["status", "readyReplicas"]), n(&["spec", "replicas"])))
    }),
    AGE,
    CONTAINERS,
    IMAGES,
];

const MUTABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

struct StatefulSetStrategy;

impl Strategy for StatefulSetStrategy {
    // k8s: pkg/apis/apps/v1/defaults.go SetDefaults_StatefulSet
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |spec| {
            defaults::text(spec, "podManagementPolicy", "OrderedReady");
            with_map(spec, "updateStrategy", |s| {
                if s.str_at(&["type"]).is_empty() {
                    s.set_at(&["type"], "RollingUpdate");
                    with_map(s, "rollingUpdate", |_| {});
                }
                at(s, &["rollingUpdate"], |r| value(r, "partition", 0));
            });
            with_map(spec, "persistentVolumeClaimRetentionPolicy", |p| {
                defaults::text(p, "whenDeleted", "Retain");
                defaults::text(p, "whenScaled", "Retain");
            });
            value(spec, "replicas", 1);
            value(spec, "revisionHistoryLimit", 10);
            with_map(spec, "template", |t| with_map(t, "spec", pod_spec));
            each(spec, &["volumeClaimTemplates"], |c| {
                defaults::text(c, "kind", "PersistentVolumeClaim");
                defaults::text(c, "apiVersion", "v1");
                with_map(c, "spec", |s| defaults::text(s, "volumeMode", "Filesystem"));
                with_map(c, "status", |s| defaults::text(s, "phase", "Pending"));
            });
        });
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let empty = crate::defaults::empty_map();
        let spec = o.get("spec").unwrap_or(&empty);
        let policy = spec.str_at(&["podManagementPolicy"]);
        let at = path.child("podManagementPolicy");
        match policy {
            "" => errors.push(FieldError::required(&at, "")),
            "OrderedReady" | "Parallel" => {}
            other => {
                let why = "must be 'OrderedReady' or 'Parallel'";
                errors.push(FieldError::invalid(&at, meta::field::quoted(other), why));
            }
        }
        let at = path.child("updateStrategy");
        match spec.str_at(&["updateStrategy", "type"]) {
            "OnDelete" if spec.at(&["updateStrategy", "rollingUpdate"]).is_some() => {
                let why = "only allowed for updateStrategy 'RollingUpdate'";
                errors.push(FieldError::invalid(&at.child("rollingUpdate"), "{}", why));
            }
            "OnDelete" | "RollingUpdate" => {
                if let Some(r) = spec.at(&["updateStrategy", "rollingUpdate"]) {
                    non_negative(&mut errors, r, "partition", &at.child("rollingUpdate"));
                }
            }
            other => {
                let why = "must be 'RollingUpdate' or 'OnDelete'";
                errors.push(FieldError::invalid(&at, meta::field::quoted(other), why));
            }
        }
        for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
            non_negative(&mut errors, spec, field, &path);
        }
        pod_spec::selector_and_template(&mut errors, spec, "statefulset", &path);
        pod_spec::always_restarted(&mut errors, spec, "StatefulSet", &path);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return super::rolling::status_counts(new);
        }
        let mut errors = self.validate(new);
        let (Some(mut after), Some(before)) = (new.get("spec").cloned(), old.get("spec")) else {
            return errors;
        };
        for field in MUTABLE {
            carry(&mut after, before, field);
        }
        if !same(Some(&after), Some(before)) {
            let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
            errors.push(FieldError::forbidden(&Path::new("spec"), why));
        }
        errors
    }
}

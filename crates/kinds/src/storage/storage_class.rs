//! StorageClass: a sort of storage that volumes are made of.

use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{AGE, NAME, boolean, text, text_at, text_or};
use crate::defaults;
use crate::kind::{Cell, Column, Kind, Operation, Strategy};
use crate::rules::{immutable, required};
use crate::shape::{Check, Rule, rule};
use crate::warnings::{self, Write};

/// `storage.k8s.io/v1` StorageClass.
pub static KIND: Kind =
    Kind::cluster_kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", "storageclass")
        .with_short_names(&["sc"])
        .with_columns(COLUMNS)
        .with_warnings(told)
        .with_strategy(&StorageClassStrategy)
        .with_rules(RULES)
        .returning_deleted();

// k8s: pkg/apis/storage/validation/validation.go ValidateStorageClass
const RULES: &[Rule] = &[
    rule("reclaimPolicy", Check::Word(&["Delete", "Retain"])),
    rule("volumeBindingMode", Check::Word(&["Immediate", "WaitForFirstConsumer"])),
];

const COLUMNS: &[Column] = &[
    Column { cell: |o, _| Cell::Text(name(o)), ..NAME },
    text("Provisioner", "Who makes the volumes.", |o, _| text_at(o, &["provisioner"])),
    text("ReclaimPolicy", "What happens when a volume is released.", |o, _| {
        text_or(o, &["reclaimPolicy"], "Delete")
    }),
    text("VolumeBindingMode", "When volumes are made and bound.", |o, _| {
        text_or(o, &["volumeBindingMode"], "Immediate")
    }),
    boolean("AllowVolumeExpansion", "Whether volumes may grow.", |o, _| {
        Cell::Bool(o.bool_at(&["allowVolumeExpansion"]) == Some(true))
    }),
    AGE,
];

/// The name, with a mark on the default class.
fn name(o: &Value) -> String {
    let is_default =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|a| o.str_at(&["metadata", "annotations", a]) == "true");
    format!("{}{}", o.str_at(&["metadata", "name"]), if is_default { " (default)" } else { "" })
}

struct StorageClassStrategy;

impl Strategy for StorageClassStrategy {
    // k8s: pkg/apis/storage/v1/defaults.go SetDefaults_StorageClass
    fn default_fields(&self, o: &mut Value) {
        defaults::text(o, "reclaimPolicy", "Delete");
        defaults::text(o, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        required(&mut errors, o, "provisioner", &Path::default());
        errors
    }

    // k8s: pkg/apis/storage/validation/validation.go ValidateStorageClassUpdate
    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        for (field, why) in [
            ("parameters", "updates to parameters are forbidden."),
            ("provisioner", "updates to provisioner are forbidden."),
            ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
        ] {
            if !crate::rules::same(new.get(field), old.get(field)) {
                errors.push(FieldError::forbidden(&Path::new(field), why));
            }
        }
        let field = "volumeBindingMode";
        immutable(&mut errors, new.get(field), old.get(field), &Path::new(field));
        errors
    }
}

// k8s: pkg/api/storage/util.go GetWarningsForStorageClass
fn told(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for (i, term) in w.new.list_at(&["allowedTopologies"]).iter().enumerate() {
        let path = Path::new("allowedTopologies").index(i).child("matchLabelExpressions");
        for (n, e) in term.list_at(&["matchLabelExpressions"]).iter().enumerate() {
            if let Some(why) = warnings::node_label(e.str_at(&["key"])) {
                out.push(format!("{}: {why}", path.index(n).child("key")));
            }
        }
    }
    out
}

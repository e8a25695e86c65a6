//! PersistentVolume: a piece of storage.

use meta::Path;
use schema::Value;

use crate::columns::{AGE, NAME, text, text_at, text_or, wide};
use crate::core::access_modes::{phase, quantity_text, short};
use crate::core::pod_spec::defaults::volume_source;
use crate::defaults::{self, with_map};
use crate::kind::{Cell, Column, Context, Kind, Strategy, WITH_STATUS};
use crate::shape::{Check, Rule, rule};
use crate::warnings::{self, Write};

/// `v1` PersistentVolume.
pub static KIND: Kind =
    Kind::cluster_kind("", "v1", "PersistentVolume", "persistentvolumes", "persistentvolume")
        .with_short_names(&["pv"])
        .with_subresources(WITH_STATUS)
        .with_columns(COLUMNS)
        .with_warnings(told)
        .with_strategy(&PersistentVolumeStrategy)
        .with_rules(RULES)
        .returning_deleted();

// k8s: pkg/apis/core/validation/validation.go ValidatePersistentVolumeSpec
const RULES: &[Rule] = &[
    rule("spec.accessModes", Check::Required("")),
    rule(
        "spec.accessModes",
        Check::Words(&["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]),
    ),
    rule("spec.capacity", Check::Required("")),
    rule("spec.persistentVolumeReclaimPolicy", Check::Word(&["Delete", "Recycle", "Retain"])),
    rule("spec.volumeMode", Check::Word(&["Block", "Filesystem"])),
];

const COLUMNS: &[Column] = &[
    NAME,
    text("Capacity", "Size.", |o, _| Cell::Text(quantity_text(o.at(&["spec", "capacity", "storage"])))),
    text("Access Modes", "How it can be mounted.", |o, _| {
        Cell::Text(short(o.list_at(&["spec", "accessModes"])))
    }),
    text("Reclaim Policy", "What happens when it is released.", |o, _| {
        text_at(o, &["spec", "persistentVolumeReclaimPolicy"])
    }),
    text("Status", "Phase.", |o, _| Cell::Text(phase(o))),
    text("Claim", "The claim that has it.", |o, _| Cell::Text(claim(o))),
    text("StorageClass", "Its class.", |o, _| text_at(o, &["spec", "storageClassName"])),
    text("VolumeAttributesClass", "Its attributes class.", |o, _| {
        text_or(o, &["spec", "volumeAttributesClassName"], "<unset>")
    }),
    text("Reason", "Why it is in its phase.", |o, _| text_at(o, &["status", "reason"])),
    AGE,
    wide("VolumeMode", "Filesystem or block device.", |o, _| text_or(o, &["spec", "volumeMode"], "<unset>")),
];

fn claim(o: &Value) -> String {
    match o.at(&["spec", "claimRef"]) {
        Some(r) => format!("{}/{}", r.str_at(&["namespace"]), r.str_at(&["name"])),
        None => String::new(),
    }
}

struct PersistentVolumeStrategy;

impl Strategy for PersistentVolumeStrategy {
    // k8s: pkg/apis/core/v1/defaults.go SetDefaults_PersistentVolume
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |s| {
            defaults::text(s, "persistentVolumeReclaimPolicy", "Retain");
            defaults::text(s, "volumeMode", "Filesystem");
            volume_source(s);
        });
        with_map(o, "status", |s| defaults::text(s, "phase", "Pending"));
    }

    fn prepare_for_create(&self, o: &mut Value, _cx: &Context) {
        o.set_at(&["status"], defaults::empty_map());
        o.set_at(&["status", "phase"], "Pending");
    }
}

const ANNOTATIONS: &[(&str, &str)] = &[
    (
        "volume.beta.kubernetes.io/storage-class",
        "deprecated since v1.8; use \"storageClassName\" attribute instead",
    ),
    (
        "volume.beta.kubernetes.io/mount-options",
        "deprecated since v1.31; use \"mountOptions\" attribute instead",
    ),
];
const GONE: &[(&str, &str)] = &[
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

// k8s: pkg/api/persistentvolume/util.go warningsForPersistentVolumeSpecAndMeta
fn told(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if !w.is_whole() {
        return out;
    }
    for (key, why) in ANNOTATIONS {
        if w.new.at(&["metadata", "annotations", key]).is_some() {
            out.push(format!("metadata.annotations[{key}]: {why}"));
        }
    }
    if w.new.str_at(&["spec", "persistentVolumeReclaimPolicy"]) == "Recycle" {
        out.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    let terms = ["spec", "nodeAffinity", "required", "nodeSelectorTerms"];
    for (i, term) in w.new.list_at(&terms).iter().enumerate() {
        warnings::node_expressions(&mut out, term, false, &Path::new(&terms.join(".")).index(i));
    }
    for (field, why) in GONE {
        if w.new.at(&["spec", field]).is_some() {
            // Upstream's names of the fields inside it.
            let field = if *field == "storageos" { "storageOS" } else { field };
            out.push(format!("spec.{field}: {why}"));
        }
    }
    out
}

//! PersistentVolume: a piece of storage.

use schema::Value;

use crate::columns::{AGE, NAME, text, text_at, text_or, wide};
use crate::core::access_modes::{phase, quantity_text, short};
use crate::core::pod_spec::defaults::volume_source;
use crate::defaults::{self, with_map};
use crate::kind::{Cell, Column, Context, Kind, Strategy, WITH_STATUS};
use crate::shape::{Check, Rule, rule};

/// `v1` PersistentVolume.
pub static KIND: Kind =
    Kind::cluster_kind("", "v1", "PersistentVolume", "persistentvolumes", "persistentvolume")
        .with_short_names(&["pv"])
        .with_subresources(WITH_STATUS)
        .with_columns(COLUMNS)
        .with_strategy(&PersistentVolumeStrategy)
        .with_rules(RULES);

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

    fn has_generation(&self) -> bool {
        false
    }
}

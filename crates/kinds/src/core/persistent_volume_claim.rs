//! PersistentVolumeClaim: a wish for storage.

use schema::Value;

use crate::columns::{AGE, NAME, text, text_at, text_or, wide};
use crate::core::access_modes::{phase, quantity_text, short};
use crate::defaults::{self, with_map};
use crate::kind::{Cell, Column, Context, Kind, Strategy, WITH_STATUS};

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
.with_strategy(&PersistentVolumeClaimStrategy);

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

    fn has_generation(&self) -> bool {
        false
    }
}

//! VolumeAttributesClass.

use crate::kind::Kind;

/// `storage.k8s.io/v1` VolumeAttributesClass.
pub static KIND: Kind = Kind::cluster_kind(
    "storage.k8s.io",
    "v1",
    "VolumeAttributesClass",
    "volumeattributesclasses",
    "volumeattributesclass",
)
.with_short_names(&["vac"]);

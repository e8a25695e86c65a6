//! VolumeAttachment: the wish that a volume be attached to a node.

use crate::columns::{AGE, NAME, boolean, text, text_at};
use crate::kind::{Cell, Column, Kind, NoGeneration, WITH_STATUS};

/// `storage.k8s.io/v1` VolumeAttachment.
pub static KIND: Kind =
    Kind::cluster_kind("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", "volumeattachment")
        .with_subresources(WITH_STATUS)
        .with_columns(COLUMNS)
        .with_strategy(&NoGeneration);

const COLUMNS: &[Column] = &[
    NAME,
    text("Attacher", "The driver.", |o, _| text_at(o, &["spec", "attacher"])),
    text("PV", "The volume.", |o, _| text_at(o, &["spec", "source", "persistentVolumeName"])),
    text("Node", "The node.", |o, _| text_at(o, &["spec", "nodeName"])),
    boolean("Attached", "Whether it is attached.", |o, _| {
        Cell::Bool(o.bool_at(&["status", "attached"]) == Some(true))
    }),
    AGE,
];

//! VolumeAttachment: the wish that a volume be attached to a node.

use crate::columns::{AGE, NAME, boolean, text, text_at};
use crate::kind::{Cell, Column, Kind, WITH_STATUS};
use crate::shape::{Check, Rule, rule};

/// `storage.k8s.io/v1` VolumeAttachment.
pub static KIND: Kind =
    Kind::cluster_kind("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", "volumeattachment")
        .with_subresources(WITH_STATUS)
        .with_columns(COLUMNS)
        .with_rules(RULES)
        .with_status_keeping(crate::kind::USER_METADATA)
        .returning_deleted();

// k8s: pkg/apis/storage/validation/validation.go validateVolumeAttachmentSpec
const RULES: &[Rule] = &[
    rule("spec.attacher", Check::Required("")),
    rule(
        "spec.source",
        Check::Required("must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
    ),
    rule("spec.nodeName", Check::Subdomain),
];

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

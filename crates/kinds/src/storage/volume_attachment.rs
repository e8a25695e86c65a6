//! VolumeAttachment.

use crate::kind::{Kind, WITH_STATUS};

/// `storage.k8s.io/v1` VolumeAttachment.
pub static KIND: Kind =
    Kind::cluster_kind("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", "volumeattachment")
        .with_subresources(WITH_STATUS);

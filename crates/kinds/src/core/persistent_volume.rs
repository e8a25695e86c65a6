//! PersistentVolume.

use crate::kind::{Kind, WITH_STATUS};

/// `v1` PersistentVolume.
pub static KIND: Kind =
    Kind::cluster_kind("", "v1", "PersistentVolume", "persistentvolumes", "persistentvolume")
        .with_short_names(&["pv"])
        .with_subresources(WITH_STATUS);

//! FlowSchema.

use crate::kind::{Kind, WITH_STATUS};

/// `flowcontrol.apiserver.k8s.io/v1` FlowSchema.
pub static KIND: Kind =
    Kind::cluster_kind("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", "flowschema")
        .with_subresources(WITH_STATUS);

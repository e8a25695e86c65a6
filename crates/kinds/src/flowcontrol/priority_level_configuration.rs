//! PriorityLevelConfiguration.

use crate::kind::{Kind, WITH_STATUS};

/// `flowcontrol.apiserver.k8s.io/v1` PriorityLevelConfiguration.
pub static KIND: Kind = Kind::cluster_kind(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "PriorityLevelConfiguration",
    "prioritylevelconfigurations",
    "prioritylevelconfiguration",
)
.with_subresources(WITH_STATUS);

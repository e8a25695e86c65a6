//! Node.

use meta::Gvk;

use crate::kind::{Kind, STATUS, Subresource};

const SUBRESOURCES: &[Subresource] = &[
    Subresource {
        name: "proxy",
        kind: Some(Gvk::new("", "v1", "NodeProxyOptions")),
        verbs: &["create", "delete", "get", "patch", "update"],
    },
    STATUS,
];

/// `v1` Node.
pub static KIND: Kind = Kind::cluster_kind("", "v1", "Node", "nodes", "node")
    .with_short_names(&["no"])
    .with_subresources(SUBRESOURCES);

//! Pod.

use meta::Gvk;

use crate::kind::{Kind, STATUS, Subresource};

const SUBRESOURCES: &[Subresource] = &[
    Subresource {
        name: "attach",
        kind: Some(Gvk::new("", "v1", "PodAttachOptions")),
        verbs: &["create", "get"],
    },
    Subresource { name: "binding", kind: Some(Gvk::new("", "v1", "Binding")), verbs: &["create"] },
    Subresource { name: "ephemeralcontainers", kind: None, verbs: &["get", "patch", "update"] },
    Subresource { name: "eviction", kind: Some(Gvk::new("policy", "v1", "Eviction")), verbs: &["create"] },
    Subresource { name: "exec", kind: Some(Gvk::new("", "v1", "PodExecOptions")), verbs: &["create", "get"] },
    Subresource { name: "log", kind: None, verbs: &["get"] },
    Subresource {
        name: "portforward",
        kind: Some(Gvk::new("", "v1", "PodPortForwardOptions")),
        verbs: &["create", "get"],
    },
    Subresource {
        name: "proxy",
        kind: Some(Gvk::new("", "v1", "PodProxyOptions")),
        verbs: &["create", "delete", "get", "patch", "update"],
    },
    Subresource { name: "resize", kind: None, verbs: &["get", "patch", "update"] },
    STATUS,
];

/// `v1` Pod.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Pod", "pods", "pod")
    .with_short_names(&["po"])
    .with_categories(&["all"])
    .with_subresources(SUBRESOURCES);

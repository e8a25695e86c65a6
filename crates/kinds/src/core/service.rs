//! Service.

use meta::Gvk;

use crate::kind::{Kind, NameRule, STATUS, Subresource};

const SUBRESOURCES: &[Subresource] = &[
    Subresource {
        name: "proxy",
        kind: Some(Gvk::new("", "v1", "ServiceProxyOptions")),
        verbs: &["create", "delete", "get", "patch", "update"],
    },
    STATUS,
];

/// `v1` Service.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Service", "services", "service")
    .with_short_names(&["svc"])
    .with_categories(&["all"])
    .with_names(NameRule::Label1035)
    .with_subresources(SUBRESOURCES);

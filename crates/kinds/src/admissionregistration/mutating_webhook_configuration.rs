//! MutatingWebhookConfiguration.

use crate::kind::Kind;

/// `admissionregistration.k8s.io/v1` MutatingWebhookConfiguration.
pub static KIND: Kind = Kind::cluster_kind(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    "mutatingwebhookconfiguration",
)
.with_categories(&["api-extensions"]);

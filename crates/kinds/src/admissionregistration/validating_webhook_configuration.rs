//! ValidatingWebhookConfiguration.

use crate::kind::Kind;

/// `admissionregistration.k8s.io/v1` ValidatingWebhookConfiguration.
pub static KIND: Kind = Kind::cluster_kind(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    "validatingwebhookconfiguration",
)
.with_categories(&["api-extensions"]);

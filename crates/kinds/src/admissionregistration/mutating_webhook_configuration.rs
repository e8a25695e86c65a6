//! MutatingWebhookConfiguration: webhooks that may change objects.

use schema::Value;

use crate::columns::{AGE, NAME, int};
use crate::kind::{Cell, Column, Kind, Strategy};

/// `admissionregistration.k8s.io/v1` MutatingWebhookConfiguration.
pub static KIND: Kind = Kind::cluster_kind(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    "mutatingwebhookconfiguration",
)
.with_categories(&["api-extensions"])
.with_columns(COLUMNS)
.with_warnings(super::webhooks::told)
.with_strategy(&WebhooksStrategy)
.with_rules(super::webhooks::RULES)
.with_generation();

const COLUMNS: &[Column] = &[
    NAME,
    int("Webhooks", "Number of webhooks.", |o, _| {
        Cell::Int(i64::try_from(o.list_at(&["webhooks"]).len()).unwrap_or(i64::MAX))
    }),
    AGE,
];

struct WebhooksStrategy;

impl Strategy for WebhooksStrategy {
    fn default_fields(&self, o: &mut Value) {
        super::webhooks::defaults(o, true);
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        new.get("webhooks") != old.get("webhooks")
    }
}

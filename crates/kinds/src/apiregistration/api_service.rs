//! APIService: a group and version of the API, and who serves it.

use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Context, Kind, NameRule, Strategy, WITH_STATUS};
use crate::shape::{Check, Rule, rule};

/// `apiregistration.k8s.io/v1` APIService.
pub static KIND: Kind =
    Kind::cluster_kind("apiregistration.k8s.io", "v1", "APIService", "apiservices", "apiservice")
        .with_categories(&["api-extensions"])
        .with_names(NameRule::PathSegment)
        .with_subresources(WITH_STATUS)
        .with_columns(COLUMNS)
        .with_strategy(&ApiServiceStrategy)
        .with_rules(RULES)
        .with_status_keeping(crate::kind::USER_METADATA);

// k8s: staging/src/k8s.io/kube-aggregator/pkg/apis/apiregistration/validation/validation.go ValidateAPIService
const RULES: &[Rule] = &[
    rule("spec.groupPriorityMinimum", Check::Range(1, 20_000, "must be positive and less than 20000")),
    rule("spec.versionPriority", Check::Range(1, 1000, "must be positive and less than 1000")),
    rule("spec.service?.namespace", Check::Required("")),
    rule("spec.service?.name", Check::Required("")),
];

struct ApiServiceStrategy;

impl Strategy for ApiServiceStrategy {
    // k8s: staging/src/k8s.io/kube-aggregator/pkg/registry/apiservice/strategy.go PrepareForCreate
    fn prepare_for_create(&self, o: &mut Value, cx: &Context) {
        crate::kind::clear_status(o);
        if o.at(&["spec", "service"]).is_some() {
            return;
        }
        let mut condition = schema::Map::new();
        for (field, value) in [
            ("type", "Available"),
            ("status", "True"),
            ("lastTransitionTime", cx.now.as_str()),
            ("reason", "Local"),
            ("message", "Local APIServices are always available"),
        ] {
            condition.set(field, value);
        }
        o.set_at(&["status", "conditions"], vec![Value::Map(condition)]);
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    text("Service", "The service that serves it.", |o, _| Cell::Text(service(o))),
    text("Available", "Whether it answers.", |o, _| Cell::Text(available(o))),
    AGE,
];

fn service(o: &Value) -> String {
    match o.at(&["spec", "service"]) {
        Some(s) => format!("{}/{}", s.str_at(&["namespace"]), s.str_at(&["name"])),
        None => "Local".to_owned(),
    }
}

fn available(o: &Value) -> String {
    let conditions = o.list_at(&["status", "conditions"]);
    match conditions.iter().find(|c| c.str_at(&["type"]) == "Available") {
        Some(c) if c.str_at(&["status"]) == "True" => "True".to_owned(),
        Some(c) => format!("{} ({})", c.str_at(&["status"]), c.str_at(&["reason"])),
        None => "Unknown".to_owned(),
    }
}

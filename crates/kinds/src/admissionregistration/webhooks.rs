//! What the two kinds of webhook configurations and the admission policies share.
// k8s: pkg/apis/admissionregistration/v1/defaults.go

use schema::Value;

use crate::defaults::{at, each, empty_map, text, value};
use crate::shape::{Check, Rule, rule};

/// What every webhook must have.
// k8s: pkg/apis/admissionregistration/validation/validation.go validateValidatingWebhook
pub(super) const RULES: &[Rule] = &[
    rule("webhooks[].name", Check::Required("")),
    rule("webhooks[].admissionReviewVersions", Check::Required("must specify one of v1, v1beta1")),
    rule("webhooks[].failurePolicy", Check::Word(&["Fail", "Ignore"])),
    rule("webhooks[].matchPolicy", Check::Word(&["Equivalent", "Exact"])),
    rule("webhooks[].reinvocationPolicy", Check::Word(&["IfNeeded", "Never"])),
    rule(
        "webhooks[].sideEffects",
        Check::RequiredWord(&["None", "NoneOnDryRun"], "must specify one of None, NoneOnDryRun"),
    ),
    rule(
        "webhooks[].timeoutSeconds",
        Check::Range(1, 30, "the timeout value must be between 1 and 30 seconds"),
    ),
    rule("webhooks[].clientConfig", Check::Required("exactly one of url or service is required")),
    rule("webhooks[].clientConfig.service?.name", Check::Required("")),
    rule("webhooks[].clientConfig.service?.namespace", Check::Required("")),
    rule("webhooks[].rules[].scope", Check::Word(&["*", "Cluster", "Namespaced"])),
];

/// Defaults of every webhook in `webhooks`.
pub(super) fn defaults(o: &mut Value, mutating: bool) {
    each(o, &["webhooks"], |w| {
        text(w, "failurePolicy", "Fail");
        text(w, "matchPolicy", "Equivalent");
        value(w, "namespaceSelector", empty_map());
        value(w, "objectSelector", empty_map());
        value(w, "timeoutSeconds", 10);
        if mutating {
            text(w, "reinvocationPolicy", "Never");
        }
        at(w, &["clientConfig", "service"], |s| value(s, "port", 443));
        each(w, &["rules"], |r| text(r, "scope", "*"));
    });
}

/// The kind of parameters of a policy.
pub(super) fn param_kind(o: &Value) -> String {
    match o.at(&["spec", "paramKind"]) {
        Some(p) => format!("{}/{}", p.str_at(&["apiVersion"]), p.str_at(&["kind"])),
        None => "<unset>".to_owned(),
    }
}

/// The parameters of a binding.
pub(super) fn param_ref(o: &Value) -> String {
    match o.at(&["spec", "paramRef"]) {
        None => "<unset>".to_owned(),
        Some(p) => {
            let (namespace, name) = (p.str_at(&["namespace"]), p.str_at(&["name"]));
            if name.is_empty() {
                return "<unset>".to_owned();
            }
            let namespace = if namespace.is_empty() { "*" } else { namespace };
            format!("{namespace}/{name}")
        }
    }
}

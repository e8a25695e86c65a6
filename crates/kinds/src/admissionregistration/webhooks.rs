//! What the two kinds of webhook configurations and the admission policies share.
// k8s: pkg/apis/admissionregistration/v1/defaults.go

use meta::Path;
use schema::Value;

use crate::defaults::{at, each, empty_map, text, value};
use crate::shape::{Check, Rule, rule};
use crate::warnings::{self, Write};

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

/// Resources that no webhook is asked about.
// k8s: pkg/kubeapiserver/admission/exclusion/resources.go excluded
const EXCLUDED: &[(&str, &str)] = &[
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

/// What a configuration of webhooks is answered with.
// k8s: pkg/apis/admissionregistration/validation/warnings.go warningsForExcludedRules
pub(super) fn told(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for (i, hook) in w.new.list_at(&["webhooks"]).iter().enumerate() {
        for (n, rule) in hook.list_at(&["rules"]).iter().enumerate() {
            let path = Path::new("webhooks").index(i).child("rules").index(n);
            for (group, resource) in excluded(rule) {
                let why = "is excluded from admission webhooks; this rule will have no effect";
                out.push(format!("{path}: {resource}.{group} {why}"));
            }
        }
    }
    out
}

/// The excluded resources that a rule names, each once.
fn excluded(rule: &Value) -> Vec<(&str, &str)> {
    // Each once and in the order of the rule, and only those that can be excluded: a rule may name very many.
    let names = |field: &'static str, can: &dyn Fn(&str) -> bool| {
        let mut found: Vec<&str> = Vec::new();
        for (_, name) in warnings::texts(rule, &[field]) {
            if can(name) && !found.contains(&name) {
                found.push(name);
            }
        }
        found
    };
    let groups = names("apiGroups", &|name| name == "*" || EXCLUDED.iter().any(|(group, _)| *group == name));
    let resources =
        names("resources", &|name| name == "*" || EXCLUDED.iter().any(|(_, plural)| *plural == name));
    if groups.contains(&"*") || resources.contains(&"*") {
        return Vec::new();
    }
    let pairs = groups.iter().flat_map(|g| resources.iter().map(move |r| (*g, *r)));
    pairs.filter(|pair| EXCLUDED.contains(pair)).collect()
}

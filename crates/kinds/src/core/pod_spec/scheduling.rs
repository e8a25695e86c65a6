//! Where a pod may run: tolerations, affinity, spreading, node selectors.
// k8s: pkg/apis/core/validation/validation.go ValidateTolerations, validateAffinity, validateTopologySpreadConstraints

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::rules::{Errors, each, label_selector, printed, required};

/// `tolerations`.
pub fn tolerations(errors: &mut Errors, list: &[Value], path: &Path) {
    for (i, t) in list.iter().enumerate() {
        let at = path.index(i);
        let (key, operator) = (t.str_at(&["key"]), t.str_at(&["operator"]));
        let (value, effect) = (t.str_at(&["value"]), t.str_at(&["effect"]));
        if !key.is_empty() {
            each(errors, &at.child("key"), key, name::qualified_name(key));
        } else if operator != "Exists" {
            let why =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(&at.child("operator"), quoted(operator), why));
        }
        if t.get("tolerationSeconds").is_some() && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(&at.child("effect"), quoted(effect), why));
        }
        match operator {
            "" | "Equal" => {
                let complaints = name::label_value(value);
                if !complaints.is_empty() {
                    let why = complaints.join(";");
                    errors.push(FieldError::invalid(&at.child("operator"), quoted(value), why));
                }
            }
            "Exists" if !value.is_empty() => {
                let why = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(&at.child("operator"), quoted(value), why));
            }
            "Exists" => {}
            other => {
                errors.push(FieldError::not_supported(&at.child("operator"), other, &["Equal", "Exists"]));
            }
        }
        if !effect.is_empty() {
            taint_effect(errors, effect, &at.child("effect"));
        }
    }
}

/// An effect of a taint.
pub fn taint_effect(errors: &mut Errors, effect: &str, path: &Path) {
    let supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    if !supported.contains(&effect) {
        errors.push(FieldError::not_supported(path, effect, &supported));
    }
}

/// A node selector: terms of expressions over labels and fields.
pub fn node_selector(errors: &mut Errors, selector: &Value, path: &Path) {
    let at = path.child("nodeSelectorTerms");
    let terms = selector.list_at(&["nodeSelectorTerms"]);
    if terms.is_empty() {
        errors.push(FieldError::required(&at, "must have at least one node selector term"));
    }
    for (i, t) in terms.iter().enumerate() {
        node_selector_term(errors, t, &at.index(i));
    }
}

fn node_selector_term(errors: &mut Errors, term: &Value, path: &Path) {
    for (i, e) in term.list_at(&["matchExpressions"]).iter().enumerate() {
        node_requirement(errors, e, &path.child("matchExpressions").index(i));
    }
    for (i, e) in term.list_at(&["matchFields"]).iter().enumerate() {
        let at = path.child("matchFields").index(i);
        let values = e.list_at(&["values"]);
        match e.str_at(&["operator"]) {
            "In" | "NotIn" => {
                if values.len() != 1 {
                    let why =
                        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                    errors.push(FieldError::required(&at.child("values"), why));
                }
            }
            other => {
                let why = "not a valid selector operator";
                errors.push(FieldError::invalid(&at.child("operator"), quoted(other), why));
            }
        }
        if e.str_at(&["key"]) != "metadata.name" {
            let why = "not a valid field selector key";
            errors.push(FieldError::invalid(&at.child("key"), quoted(e.str_at(&["key"])), why));
        }
    }
}

fn node_requirement(errors: &mut Errors, e: &Value, path: &Path) {
    let values = e.list_at(&["values"]);
    match e.str_at(&["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&path.child("values"), why));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&path.child("values"), why));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(&path.child("values"), why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => {
            let why = "not a valid selector operator";
            errors.push(FieldError::invalid(&path.child("operator"), quoted(other), why));
        }
    }
    let key = e.str_at(&["key"]);
    each(errors, &path.child("key"), key, name::qualified_name(key));
}

/// `affinity`.
pub fn affinity(errors: &mut Errors, affinity: &Value, path: &Path) {
    if let Some(node) = affinity.get("nodeAffinity") {
        let at = path.child("nodeAffinity");
        if let Some(s) = node.get(REQUIRED) {
            node_selector(errors, s, &at.child(REQUIRED));
        }
        for (i, p) in node.list_at(&[PREFERRED]).iter().enumerate() {
            let at = at.child(PREFERRED).index(i);
            weight(errors, p, &at);
            if let Some(t) = p.get("preference") {
                node_selector_term(errors, t, &at.child("preference"));
            }
        }
    }
    for side in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = affinity.get(side) else { continue };
        let at = path.child(side);
        for (i, t) in pods.list_at(&[REQUIRED]).iter().enumerate() {
            pod_affinity_term(errors, t, &at.child(REQUIRED).index(i));
        }
        for (i, p) in pods.list_at(&[PREFERRED]).iter().enumerate() {
            let at = at.child(PREFERRED).index(i);
            weight(errors, p, &at);
            if let Some(t) = p.get("podAffinityTerm") {
                pod_affinity_term(errors, t, &at.child("podAffinityTerm"));
            }
        }
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn weight(errors: &mut Errors, p: &Value, path: &Path) {
    let n = p.int_at(&["weight"]).unwrap_or(0);
    if !(1..=100).contains(&n) {
        let why = "must be in the range 1-100";
        errors.push(FieldError::invalid(&path.child("weight"), n.to_string(), why));
    }
}

fn pod_affinity_term(errors: &mut Errors, t: &Value, path: &Path) {
    label_selector(errors, t.get("labelSelector"), &path.child("labelSelector"));
    label_selector(errors, t.get("namespaceSelector"), &path.child("namespaceSelector"));
    for n in t.list_at(&["namespaces"]) {
        let n = n.as_str().unwrap_or("");
        each(errors, &path.child("namespace"), n, name::dns1123_label(n));
    }
    let key = t.str_at(&["topologyKey"]);
    if key.is_empty() {
        errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
    } else {
        each(errors, &path.child("topologyKey"), key, name::qualified_name(key));
    }
}

/// `topologySpreadConstraints`.
pub fn spread(errors: &mut Errors, list: &[Value], path: &Path) {
    let mut seen = Vec::new();
    for (i, c) in list.iter().enumerate() {
        let at = path.index(i);
        let skew = c.int_at(&["maxSkew"]).unwrap_or(0);
        if skew <= 0 {
            let why = "must be greater than zero";
            errors.push(FieldError::invalid(&at.child("maxSkew"), skew.to_string(), why));
        }
        let key = c.str_at(&["topologyKey"]);
        if key.is_empty() {
            errors.push(FieldError::required(&at.child("topologyKey"), "can not be empty"));
        } else {
            each(errors, &at.child("topologyKey"), key, name::qualified_name(key));
        }
        let action = c.str_at(&["whenUnsatisfiable"]);
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        if !supported.contains(&action) {
            errors.push(FieldError::not_supported(&at.child("whenUnsatisfiable"), action, &supported));
        }
        let pair = format!("{{{key}, {action}}}");
        if seen.contains(&pair) {
            errors.push(FieldError::duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), quoted(&pair)));
        }
        seen.push(pair);
        if let Some(n) = c.int_at(&["minDomains"]) {
            if n <= 0 {
                let why = "must be greater than 0";
                errors.push(FieldError::invalid(&at.child("minDomains"), n.to_string(), why));
            }
            if action != "DoNotSchedule" {
                let why =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", action);
                errors.push(FieldError::invalid(&at.child("minDomains"), n.to_string(), why));
            }
        }
        label_selector(errors, c.get("labelSelector"), &at.child("labelSelector"));
    }
}

/// `schedulingGates` and `readinessGates`.
pub fn gates(errors: &mut Errors, spec: &Value, path: &Path) {
    let mut seen = Vec::new();
    for (i, g) in spec.list_at(&["schedulingGates"]).iter().enumerate() {
        let at = path.child("schedulingGates").index(i);
        let n = g.str_at(&["name"]);
        each(errors, &at, n, name::qualified_name(n));
        if seen.contains(&n) {
            errors.push(FieldError::duplicate(&at, quoted(n)));
        }
        seen.push(n);
    }
    for (i, g) in spec.list_at(&["readinessGates"]).iter().enumerate() {
        let at = path.child("readinessGates").index(i).child("conditionType");
        let n = g.str_at(&["conditionType"]);
        each(errors, &at, n, name::qualified_name(n));
    }
}

/// `dnsPolicy` and `dnsConfig`.
pub fn dns(errors: &mut Errors, spec: &Value, path: &Path) {
    let policy = spec.str_at(&["dnsPolicy"]);
    let supported = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    if policy.is_empty() {
        errors.push(FieldError::required(&path.child("dnsPolicy"), ""));
    } else if !supported.contains(&policy) {
        errors.push(FieldError::not_supported(&path.child("dnsPolicy"), policy, &supported));
    }
    let at = path.child("dnsConfig");
    let servers = spec.list_at(&["dnsConfig", "nameservers"]);
    if policy == "None" {
        if spec.get("dnsConfig").is_none() {
            let why = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(FieldError::required(&at, why));
        } else if servers.is_empty() {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(&at.child("nameservers"), why));
        }
    }
    if servers.len() > 3 {
        let why = "must not have more than 3 nameservers";
        let list = spec.at(&["dnsConfig", "nameservers"]);
        errors.push(FieldError::invalid(&at.child("nameservers"), printed(list), why));
    }
    for (i, s) in servers.iter().enumerate() {
        let s = s.as_str().unwrap_or("");
        each(errors, &at.child("nameservers").index(i), s, name::ip(s));
    }
    let searches = spec.list_at(&["dnsConfig", "searches"]);
    if searches.len() > 32 {
        let why = "must not have more than 32 search paths";
        let list = spec.at(&["dnsConfig", "searches"]);
        errors.push(FieldError::invalid(&at.child("searches"), printed(list), why));
    }
    for (i, o) in spec.list_at(&["dnsConfig", "options"]).iter().enumerate() {
        required(errors, o, "name", &at.child("options").index(i));
    }
}

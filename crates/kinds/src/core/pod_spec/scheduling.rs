//! Where a pod may run: tolerations, affinity, spreading, node selectors.
// k8s: pkg/apis/core/validation/validation.go ValidateTolerations, validateAffinity, validateTopologySpreadConstraints

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::rules::{Errors, each, label_selector, printed};

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
        node_selector_term(errors, t, true, &at.index(i));
    }
}

/// `required` terms may not look for values that no label can have.
fn node_selector_term(errors: &mut Errors, term: &Value, required: bool, path: &Path) {
    for (i, e) in term.list_at(&["matchExpressions"]).iter().enumerate() {
        node_requirement(errors, e, required, &path.child("matchExpressions").index(i));
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
            continue;
        }
        for (j, v) in values.iter().enumerate() {
            let v = v.as_str().unwrap_or("");
            each(errors, &at.child("values").index(j), v, name::dns1123_subdomain(v));
        }
    }
}

fn node_requirement(errors: &mut Errors, e: &Value, required: bool, path: &Path) {
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
    if required {
        for (i, v) in values.iter().enumerate() {
            let v = v.as_str().unwrap_or("");
            each(errors, &path.child("values").index(i), v, name::label_value(v));
        }
    }
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
                node_selector_term(errors, t, false, &at.child("preference"));
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
    label_keys(errors, t, path);
    let key = t.str_at(&["topologyKey"]);
    if key.is_empty() {
        errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
    }
    each(errors, &path.child("topologyKey"), key, name::qualified_name(key));
}

/// `matchLabelKeys` and `mismatchLabelKeys` of a term.
// k8s: pkg/apis/core/validation/validation.go validateMatchLabelKeysAndMismatchLabelKeys
fn label_keys(errors: &mut Errors, t: &Value, path: &Path) {
    let selector = t.get("labelSelector");
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let keys = t.list_at(&[field]);
        if !keys.is_empty() && selector.is_none() {
            errors.push(FieldError::forbidden(&path.child(field), NO_SELECTOR));
            continue;
        }
        for (i, k) in keys.iter().enumerate() {
            let k = k.as_str().unwrap_or("");
            each(errors, &path.child(field).index(i), k, name::qualified_name(k));
        }
    }
    let keys = t.list_at(&["matchLabelKeys"]);
    let both = t.list_at(&["mismatchLabelKeys"]);
    for (i, k) in keys.iter().enumerate().filter(|(_, k)| both.contains(k)) {
        let at = path.child("matchLabelKeys").index(i);
        let why = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.push(FieldError::invalid(&at, quoted(k.as_str().unwrap_or("")), why));
    }
    // The server has put an expression for each key in; one more of the same key is the user's.
    let Some(selector) = selector else { return };
    let mut seen: Vec<&str> = selector
        .get("matchLabels")
        .and_then(Value::as_map)
        .into_iter()
        .flat_map(|m| m.iter())
        .map(|(k, _)| k)
        .collect();
    for e in selector.list_at(&["matchExpressions"]) {
        let key = e.str_at(&["key"]);
        if let (Some(i), true) = (keys.iter().position(|k| k.as_str() == Some(key)), seen.contains(&key)) {
            errors.push(FieldError::invalid(&path.index(i), quoted(key), IN_BOTH));
        }
        seen.push(key);
    }
}

const NO_SELECTOR: &str = "must not be specified when labelSelector is not set";
const IN_BOTH: &str = "exists in both matchLabelKeys and labelSelector";

/// `topologySpreadConstraints`.
pub fn spread(errors: &mut Errors, list: &[Value], path: &Path) {
    for (i, c) in list.iter().enumerate() {
        let at = path.index(i);
        let skew = c.int_at(&["maxSkew"]).unwrap_or(0);
        if skew <= 0 {
            errors.push(FieldError::invalid(&at.child("maxSkew"), skew.to_string(), NOT_POSITIVE));
        }
        let key = c.str_at(&["topologyKey"]);
        if key.is_empty() {
            errors.push(FieldError::required(&at.child("topologyKey"), "can not be empty"));
        }
        let action = c.str_at(&["whenUnsatisfiable"]);
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        if !supported.contains(&action) {
            errors.push(FieldError::not_supported(&at.child("whenUnsatisfiable"), action, &supported));
        }
        let same =
            |o: &Value| o.str_at(&["topologyKey"]) == key && o.str_at(&["whenUnsatisfiable"]) == action;
        if list[i + 1..].iter().any(same) {
            let pair = format!("{{{key}, {action}}}");
            errors.push(FieldError::duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), quoted(&pair)));
        }
        min_domains(errors, c, action, &at.child("minDomains"));
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            crate::rules::optional_one_of(errors, c, field, &at, &["Honor", "Ignore"]);
        }
        spread_keys(errors, c, &at.child("matchLabelKeys"));
        label_selector(errors, c.get("labelSelector"), &at.child("labelSelector"));
    }
}

const NOT_POSITIVE: &str = "must be greater than zero";

fn min_domains(errors: &mut Errors, c: &Value, action: &str, path: &Path) {
    let Some(n) = c.int_at(&["minDomains"]) else { return };
    if n <= 0 {
        errors.push(FieldError::invalid(path, n.to_string(), NOT_POSITIVE));
    }
    if action != "DoNotSchedule" {
        let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        errors.push(FieldError::invalid(path, n.to_string(), why));
    }
}

// k8s: pkg/apis/core/validation/validation.go validateMatchLabelKeysInTopologySpread
fn spread_keys(errors: &mut Errors, c: &Value, path: &Path) {
    let keys = c.list_at(&["matchLabelKeys"]);
    let selector = c.get("labelSelector");
    if !keys.is_empty() && selector.is_none() {
        errors.push(FieldError::forbidden(path, NO_SELECTOR));
    }
    let selected = |key: &str| {
        c.at(&["labelSelector", "matchLabels", key]).is_some()
            || c.list_at(&["labelSelector", "matchExpressions"]).iter().any(|e| e.str_at(&["key"]) == key)
    };
    for (i, k) in keys.iter().enumerate() {
        let k = k.as_str().unwrap_or("");
        each(errors, &path.index(i), k, name::qualified_name(k));
        if selected(k) {
            errors.push(FieldError::invalid(&path.index(i), quoted(k), IN_BOTH));
        }
    }
}

/// `readinessGates` and `schedulingGates`.
pub fn gates(errors: &mut Errors, spec: &Value, path: &Path) {
    for (i, g) in spec.list_at(&["readinessGates"]).iter().enumerate() {
        let at = path.child("readinessGates").index(i).child("conditionType");
        let n = g.str_at(&["conditionType"]);
        each(errors, &at, n, name::qualified_name(n));
    }
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
}

/// Most bytes in all search paths together, with a space between them.
const SEARCHES_MAX_BYTES: usize = 2048;

/// `dnsPolicy`.
pub fn dns_policy(errors: &mut Errors, spec: &Value, path: &Path) {
    let supported = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    crate::rules::one_of(errors, spec, "dnsPolicy", path, &supported);
}

/// `dnsConfig`.
pub fn dns_config(errors: &mut Errors, spec: &Value, path: &Path) {
    let at = path.child("dnsConfig");
    let servers = spec.list_at(&["dnsConfig", "nameservers"]);
    if spec.str_at(&["dnsPolicy"]) == "None" {
        if spec.get("dnsConfig").is_none() {
            let why = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(FieldError::required(&at, why));
            return;
        } else if servers.is_empty() {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(&at.child("nameservers"), why));
            return;
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
    let list = spec.at(&["dnsConfig", "searches"]);
    let searches: Vec<&str> =
        spec.list_at(&["dnsConfig", "searches"]).iter().map(|s| s.as_str().unwrap_or("")).collect();
    let searches_at = at.child("searches");
    if searches.len() > 32 {
        let why = "must not have more than 32 search paths";
        errors.push(FieldError::invalid(&searches_at, printed(list), why));
    }
    if searches.join(" ").len() > SEARCHES_MAX_BYTES {
        let why = "must not have more than 2048 characters (including spaces) in the search list";
        errors.push(FieldError::invalid(&searches_at, printed(list), why));
    }
    for (i, s) in searches.iter().enumerate().filter(|(_, s)| **s != ".") {
        let s = s.strip_suffix('.').unwrap_or(s);
        each(errors, &searches_at.index(i), s, name::dns1123_subdomain_with_underscore(s));
    }
    for (i, o) in spec.list_at(&["dnsConfig", "options"]).iter().enumerate() {
        if o.str_at(&["name"]).is_empty() {
            errors.push(FieldError::required(&at.child("options").index(i), "must not be empty"));
        }
    }
}

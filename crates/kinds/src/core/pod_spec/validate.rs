//! The rules of a whole pod spec and of a pod template.
// k8s: pkg/apis/core/validation/validation.go ValidatePodSpec, ValidatePodTemplateSpec

use meta::{FieldError, Path, name};
use schema::Value;

use super::{container, scheduling, security, volume};
use crate::rules::{Errors, each, labels, one_of, optional_one_of, required};

/// Everything wrong with a pod spec.
pub fn validate(errors: &mut Errors, spec: &Value, path: &Path) {
    let volumes = volume::validate(errors, spec.list_at(&["volumes"]), &path.child("volumes"));
    let pod =
        container::Pod { volumes: &volumes, host_network: spec.bool_at(&["hostNetwork"]) == Some(true) };
    container::validate(errors, spec, &pod, path);
    one_of(errors, spec, "restartPolicy", path, &["Always", "Never", "OnFailure"]);
    scheduling::dns(errors, spec, path);
    labels(errors, spec.get("nodeSelector"), &path.child("nodeSelector"));
    security::pod(errors, spec, &path.child("securityContext"));
    for (i, s) in spec.list_at(&["imagePullSecrets"]).iter().enumerate() {
        required(errors, s, "name", &path.child("imagePullSecrets").index(i));
    }
    if let Some(a) = spec.get("affinity") {
        scheduling::affinity(errors, a, &path.child("affinity"));
    }
    scheduling::gates(errors, spec, path);
    let at = path.child("topologySpreadConstraints");
    scheduling::spread(errors, spec.list_at(&["topologySpreadConstraints"]), &at);
    names(errors, spec, path);
    if let Some(n) = spec.int_at(&["activeDeadlineSeconds"])
        && !(1..=i64::from(i32::MAX)).contains(&n)
    {
        let why = name::inclusive_range(1, i64::from(i32::MAX));
        errors.push(FieldError::invalid(&path.child("activeDeadlineSeconds"), n.to_string(), why));
    }
    scheduling::tolerations(errors, spec.list_at(&["tolerations"]), &path.child("tolerations"));
    host_aliases(errors, spec, path);
    optional_one_of(errors, spec, "preemptionPolicy", path, &["Never", "PreemptLowerPriority"]);
}

fn names(errors: &mut Errors, spec: &Value, path: &Path) {
    type Check = fn(&str) -> Vec<String>;
    let checks: [(&str, Check); 6] = [
        ("serviceAccountName", name::dns1123_subdomain),
        ("nodeName", name::dns1123_subdomain),
        ("hostname", name::dns1123_label),
        ("subdomain", name::dns1123_label),
        ("priorityClassName", name::dns1123_subdomain),
        ("runtimeClassName", name::dns1123_subdomain),
    ];
    for (field, check) in checks {
        let v = spec.str_at(&[field]);
        if !v.is_empty() {
            each(errors, &path.child(field), v, check(v));
        }
    }
}

fn host_aliases(errors: &mut Errors, spec: &Value, path: &Path) {
    for (i, a) in spec.list_at(&["hostAliases"]).iter().enumerate() {
        let at = path.child("hostAliases").index(i);
        let ip = a.str_at(&["ip"]);
        each(errors, &at.child("ip"), ip, name::ip(ip));
        for (j, h) in a.list_at(&["hostnames"]).iter().enumerate() {
            let h = h.as_str().unwrap_or("");
            each(errors, &at.child("hostnames").index(j), h, name::dns1123_subdomain(h));
        }
    }
}

/// Everything wrong with a pod template.
pub fn validate_template(errors: &mut Errors, template: &Value, path: &Path) {
    labels(errors, template.at(&["metadata", "labels"]), &path.child("metadata").child("labels"));
    let annotations = template.at(&["metadata", "annotations"]);
    crate::metadata::annotations(errors, annotations, &path.child("metadata").child("annotations"));
    let empty = crate::defaults::empty_map();
    let spec = template.get("spec").unwrap_or(&empty);
    validate(errors, spec, &path.child("spec"));
    if !spec.list_at(&["ephemeralContainers"]).is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&path.child("spec").child("ephemeralContainers"), why));
    }
}

/// A selector of a workload: not empty, and matching the labels of its template.
// k8s: pkg/apis/apps/validation/validation.go ValidateDeploymentSpec, ValidateReplicaSetSpec
pub fn selector_and_template(errors: &mut Errors, spec: &Value, kind: &str, path: &Path) {
    let at = path.child("selector");
    let Some(selector) = spec.get("selector") else {
        errors.push(FieldError::required(&at, ""));
        if let Some(t) = spec.get("template") {
            // k8s: a missing selector selects nothing, the template included.
            not_selected(errors, t, path);
            validate_template(errors, t, &path.child("template"));
        }
        return;
    };
    let before = errors.len();
    crate::rules::label_selector(errors, Some(selector), &at);
    let parsed = crate::rules::selector_of(Some(selector));
    let empty = parsed.as_ref().is_ok_and(meta::labels::Selector::is_empty);
    if empty {
        let why = format!("empty selector is invalid for {kind}");
        errors.push(FieldError::invalid(&at, "{}", why));
    }
    let Some(template) = spec.get("template") else {
        errors.push(FieldError::required(&path.child("template"), ""));
        return;
    };
    let template_labels = template.at(&["metadata", "labels"]);
    if let Ok(s) = &parsed
        && !empty
        && errors.len() == before
        && !crate::rules::selects(s, template_labels)
    {
        not_selected(errors, template, path);
    }
    validate_template(errors, template, &path.child("template"));
}

fn not_selected(errors: &mut Errors, template: &Value, path: &Path) {
    let at = path.child("template").child("metadata").child("labels");
    let shown = crate::rules::printed(template.at(&["metadata", "labels"]));
    errors.push(FieldError::invalid(&at, shown, "`selector` does not match template `labels`"));
}

/// A template of a workload whose pods must be restarted always and have no deadline.
pub fn always_restarted(errors: &mut Errors, spec: &Value, kind: &str, path: &Path) {
    let at = path.child("template").child("spec");
    let policy = spec.str_at(&["template", "spec", "restartPolicy"]);
    if !policy.is_empty() && policy != "Always" && matches!(policy, "Never" | "OnFailure") {
        errors.push(FieldError::not_supported(&at.child("restartPolicy"), policy, &["Always"]));
    }
    if spec.at(&["template", "spec", "activeDeadlineSeconds"]).is_some() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(&at.child("activeDeadlineSeconds"), why));
    }
}

//! The rules of a whole pod spec and of a pod template.
// k8s: pkg/apis/core/validation/validation.go ValidatePodSpec, ValidatePodTemplateSpec

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use super::{container, resources, scheduling, security, volume};
use crate::rules::{Errors, each, labels, one_of, optional_one_of};

/// Everything wrong with a pod spec; `pod` is the whole pod where it is not a template's.
pub fn validate(errors: &mut Errors, spec: &Value, pod: Option<&Value>, path: &Path) {
    let grace = spec.int_at(&["terminationGracePeriodSeconds"]);
    if grace.is_none() {
        errors.push(FieldError::required(&path.child("terminationGracePeriodSeconds"), ""));
    }
    let pod_name = pod.map_or("", |p| p.str_at(&["metadata", "name"]));
    let owner = volume::Owner { pod_name, is_pod: pod.is_some() };
    let volumes = volume::validate(errors, spec.list_at(&["volumes"]), &owner, &path.child("volumes"));
    let claims = spec.list_at(&["resourceClaims"]);
    container::claims(errors, claims, &path.child("resourceClaims"));
    let claims = claims.iter().map(|c| c.str_at(&["name"])).filter(|n| !n.is_empty()).collect();
    let shared = container::Pod {
        volumes: &volumes,
        claims: &claims,
        grace_seconds: grace.unwrap_or(i64::MAX),
        restart_policy: spec.str_at(&["restartPolicy"]),
        host_users: spec.bool_at(&["hostUsers"]) != Some(false),
    };
    container::validate(errors, spec, &shared, path);
    container::host_network(errors, spec, pod.is_some(), path);
    one_of(errors, spec, "restartPolicy", path, &["Always", "OnFailure", "Never"]);
    scheduling::dns_policy(errors, spec, path);
    labels(errors, spec.get("nodeSelector"), &path.child("nodeSelector"));
    security::pod(errors, spec, path);
    if let Some(a) = spec.get("affinity") {
        scheduling::affinity(errors, a, &path.child("affinity"));
    }
    scheduling::dns_config(errors, spec, path);
    scheduling::gates(errors, spec, path);
    let at = path.child("topologySpreadConstraints");
    scheduling::spread(errors, spec.list_at(&["topologySpreadConstraints"]), &at);
    names(errors, spec, &NAMES_BEFORE, path);
    if let Some(n) = spec.int_at(&["activeDeadlineSeconds"])
        && !(1..=i64::from(i32::MAX)).contains(&n)
    {
        let why = name::inclusive_range(1, i64::from(i32::MAX));
        errors.push(FieldError::invalid(&path.child("activeDeadlineSeconds"), n.to_string(), why));
    }
    names(errors, spec, &NAMES_BEHIND, path);
    scheduling::tolerations(errors, spec.list_at(&["tolerations"]), &path.child("tolerations"));
    host_aliases(errors, spec, path);
    names(errors, spec, &NAMES_LAST, path);
    optional_one_of(errors, spec, "preemptionPolicy", path, &["PreemptLowerPriority", "Never"]);
    if let Some(overhead) = spec.get("overhead") {
        let mut limits = crate::defaults::empty_map();
        limits.set_at(&["limits"], overhead.clone());
        resources::validate(errors, &limits, &claims, &path.child("overhead"));
    }
    container::os(errors, spec, path);
}

type NameCheck = (&'static str, fn(&str) -> Vec<String>);
const NAMES_BEFORE: [NameCheck; 2] =
    [("serviceAccountName", name::dns1123_subdomain), ("nodeName", name::dns1123_subdomain)];
const NAMES_BEHIND: [NameCheck; 2] = [("hostname", name::dns1123_label), ("subdomain", name::dns1123_label)];
const NAMES_LAST: [NameCheck; 2] =
    [("priorityClassName", name::dns1123_subdomain), ("runtimeClassName", name::dns1123_subdomain)];

fn names(errors: &mut Errors, spec: &Value, checks: &[NameCheck], path: &Path) {
    for (field, check) in checks {
        let v = spec.str_at(&[field]);
        if !v.is_empty() {
            each(errors, &path.child(field), v, check(v));
        }
    }
}

/// What holds for the containers of a pod and not for those of a template.
// k8s: pkg/apis/core/validation/validation.go validatePodMetadataAndSpec
pub fn only_for_pods(errors: &mut Errors, spec: &Value, path: &Path) {
    if spec.str_at(&["serviceAccountName"]).is_empty() {
        for (i, v) in spec.list_at(&["volumes"]).iter().enumerate() {
            for (j, s) in v.list_at(&["projected", "sources"]).iter().enumerate() {
                if s.get("serviceAccountToken").is_some() {
                    let at = path.child("volumes").index(i).child("projected").child("sources").index(j);
                    let why = "must not be specified when serviceAccountName is not set";
                    errors.push(FieldError::forbidden(&at.child("serviceAccountToken"), why));
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for (i, c) in spec.list_at(&[list]).iter().enumerate() {
            container::blanks(errors, c, &path.child(list).index(i));
        }
    }
}

/// What annotations of pods and templates must be.
// k8s: pkg/apis/core/validation/validation.go ValidatePodSpecificAnnotations
pub fn pod_annotations(errors: &mut Errors, annotations: Option<&Value>, spec: &Value, path: &Path) {
    let text = |key: &str| annotations.and_then(|a| a.get(key)).and_then(Value::as_str);
    if let Some(v) = text(MIRROR)
        && spec.str_at(&["nodeName"]).is_empty()
    {
        let why = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid(&path.key(MIRROR), quoted(v), why));
    }
    if let Some(v) = text(DELETION_COST)
        && (v.parse::<i32>().is_err() || v.starts_with('+') || (v.len() > 1 && v.starts_with('0')))
    {
        errors.push(FieldError::invalid(&path.key(DELETION_COST), quoted(v), "must be a 32bit integer"));
    }
}

/// On pods that a node made from a file.
pub const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

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
    labels(errors, template.at(&["metadata", "labels"]), &path.child("labels"));
    let annotations = template.at(&["metadata", "annotations"]);
    crate::metadata::annotations(errors, annotations, &path.child("annotations"));
    let empty = crate::defaults::empty_map();
    let spec = template.get("spec").unwrap_or(&empty);
    pod_annotations(errors, annotations, spec, &path.child("annotations"));
    validate(errors, spec, None, &path.child("spec"));
    if !spec.list_at(&["ephemeralContainers"]).is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&path.child("spec").child("ephemeralContainers"), why));
    }
}

/// A selector of a workload: not empty, and matching the labels of its template.
// k8s: pkg/apis/apps/validation/validation.go ValidateDeploymentSpec, ValidatePodTemplateSpecForReplicaSet
pub fn selector_and_template(errors: &mut Errors, spec: &Value, kind: &str, path: &Path) {
    let at = path.child("selector");
    let selector = spec.get("selector");
    let parsed = crate::rules::selector_of(selector);
    match selector {
        None => errors.push(FieldError::required(&at, "")),
        Some(_) => {
            crate::rules::label_selector(errors, selector, &at);
            if parsed.as_ref().is_ok_and(meta::labels::Selector::is_empty) {
                let why = format!("empty selector is invalid for {kind}");
                errors.push(FieldError::invalid(&at, "{}", why));
            }
        }
    }
    let Ok(parsed) = parsed else {
        errors.push(FieldError::invalid(&at, crate::rules::printed(selector), "invalid label selector"));
        return;
    };
    let empty = crate::defaults::empty_map();
    let template = spec.get("template").unwrap_or(&empty);
    let template_labels = template.at(&["metadata", "labels"]);
    if !parsed.is_empty() && !crate::rules::selects(&parsed, template_labels) {
        let at = path.child("template").child("metadata").child("labels");
        let shown = crate::rules::printed(template_labels);
        errors.push(FieldError::invalid(&at, shown, "`selector` does not match template `labels`"));
    }
    validate_template(errors, template, &path.child("template"));
}

/// A template of a workload whose pods must be restarted always and have no deadline.
pub fn always_restarted(errors: &mut Errors, spec: &Value, kind: &str, path: &Path) {
    let at = path.child("template").child("spec");
    let policy = spec.str_at(&["template", "spec", "restartPolicy"]);
    if policy != "Always" {
        errors.push(FieldError::not_supported(&at.child("restartPolicy"), policy, &["Always"]));
    }
    if spec.at(&["template", "spec", "activeDeadlineSeconds"]).is_some() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(&at.child("activeDeadlineSeconds"), why));
    }
}

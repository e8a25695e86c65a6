//! Environment of containers, and references to fields and resources of the pod.
// k8s: pkg/apis/core/validation/validation.go ValidateEnv, ValidateEnvFrom

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::rules::{Errors, each, required};

const MORE_THAN_ONE: &str = "may not have more than one field specified at a time";

/// Fields that a variable may take from the pod.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that a file of a downward API volume may take.
pub const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// `env`.
pub fn env(errors: &mut Errors, list: &[Value], path: &Path) {
    for (i, e) in list.iter().enumerate() {
        let at = path.index(i);
        if let Some(n) = required(errors, e, "name", &at) {
            each(errors, &at.child("name"), n, name::env_var_name(n));
        }
        if let Some(from) = e.get("valueFrom") {
            value_from(errors, from, !e.str_at(&["value"]).is_empty(), &at.child("valueFrom"));
        }
    }
}

fn value_from(errors: &mut Errors, from: &Value, has_value: bool, path: &Path) {
    let sources = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    let present = sources.iter().filter(|s| from.get(s).is_some()).count();
    if let Some(f) = from.get("fieldRef") {
        field_ref(errors, f, ENV_FIELDS, &path.child("fieldRef"));
    }
    if let Some(r) = from.get("resourceFieldRef") {
        resource_field_ref(errors, r, false, &path.child("resourceFieldRef"));
    }
    if let Some(r) = from.get("fileKeyRef") {
        file_key_ref(errors, r, &path.child("fileKeyRef"));
    }
    for source in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(r) = from.get(source) {
            let at = path.child(source);
            let n = r.str_at(&["name"]);
            each(errors, &at.child("name"), n, name::dns1123_subdomain(n));
            if let Some(key) = required(errors, r, "key", &at) {
                each(errors, &at.child("key"), key, name::config_map_key(key));
            }
        }
    }
    if present == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(FieldError::invalid(path, "\"\"", why));
    } else if has_value {
        errors.push(FieldError::invalid(path, "\"\"", "may not be specified when `value` is not empty"));
    } else if present > 1 {
        errors.push(FieldError::invalid(path, "\"\"", MORE_THAN_ONE));
    }
}

// k8s: pkg/apis/core/validation/validation.go validateFileKeySelector
fn file_key_ref(errors: &mut Errors, r: &Value, path: &Path) {
    if let Some(key) = required(errors, r, "key", path) {
        each(errors, &path.child("key"), key, name::env_var_name(key));
    }
    required(errors, r, "volumeName", path);
    if let Some(p) = required(errors, r, "path", path) {
        super::volume::local_path(errors, p, &path.child("path"));
    }
}

/// A reference to a field of the pod.
pub fn field_ref(errors: &mut Errors, r: &Value, allowed: &[&str], path: &Path) {
    let field = r.str_at(&["fieldPath"]);
    if r.str_at(&["apiVersion"]).is_empty() {
        errors.push(FieldError::required(&path.child("apiVersion"), ""));
    } else if field.is_empty() {
        errors.push(FieldError::required(&path.child("fieldPath"), ""));
    } else if let Some((base, key)) = subscripted(field) {
        match base {
            "metadata.annotations" => {
                each(errors, path, key, name::qualified_name(&key.to_lowercase()));
            }
            "metadata.labels" => each(errors, path, key, name::qualified_name(key)),
            _ => errors.push(FieldError::invalid(path, quoted(base), "does not support subscript")),
        }
    } else if !allowed.contains(&field) {
        errors.push(FieldError::not_supported(&path.child("fieldPath"), field, allowed));
    }
}

/// `metadata.labels['a']` as base and key.
fn subscripted(field: &str) -> Option<(&str, &str)> {
    let rest = field.strip_suffix("']")?;
    rest.split_once("['")
}

/// A reference to a request or limit of a container; files must name the container.
pub fn resource_field_ref(errors: &mut Errors, r: &Value, in_volume: bool, path: &Path) {
    let resource = r.str_at(&["resource"]);
    if in_volume && r.str_at(&["containerName"]).is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), ""));
    } else if !is_huge_pages(resource) && !RESOURCES.contains(&resource) {
        errors.push(FieldError::not_supported(&path.child("resource"), resource, RESOURCES));
    }
    divisor(errors, r, resource, path);
}

fn is_huge_pages(resource: &str) -> bool {
    resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-")
}

/// Units that a divisor may be, with the message's list of them.
const BYTE_UNITS: &[&str] =
    &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

// k8s: pkg/apis/core/validation/validation.go validateContainerResourceDivisor
fn divisor(errors: &mut Errors, r: &Value, resource: &str, path: &Path) {
    let Some(q) = r.get("divisor").and_then(super::quantity).filter(|q| q.sign() != 0) else { return };
    let (allowed, listed, what) = match resource.split_once('.').map_or("", |(_, what)| what) {
        "cpu" => (&["1m", "1"][..], "1m and 1".to_owned(), "cpu"),
        "memory" => (BYTE_UNITS, BYTE_UNITS.join(", "), "memory"),
        "ephemeral-storage" => (BYTE_UNITS, BYTE_UNITS.join(", "), "local ephemeral storage"),
        _ if is_huge_pages(resource) => (BYTE_UNITS, BYTE_UNITS.join(", "), "hugepages"),
        _ => return,
    };
    if !allowed.contains(&q.to_string().as_str()) {
        let why = format!("only divisor's values {listed} are supported with the {what} resource");
        errors.push(FieldError::invalid(&path.child("divisor"), quoted(resource), why));
    }
}

/// `envFrom`.
pub fn env_from(errors: &mut Errors, list: &[Value], path: &Path) {
    for (i, e) in list.iter().enumerate() {
        let at = path.index(i);
        let prefix = e.str_at(&["prefix"]);
        if !prefix.is_empty() {
            each(errors, &at.child("prefix"), prefix, name::env_var_name(prefix));
        }
        let mut present = 0;
        for source in ["configMapRef", "secretRef"] {
            if let Some(r) = e.get(source) {
                present += 1;
                let at = at.child(source);
                if let Some(n) = required(errors, r, "name", &at) {
                    each(errors, &at.child("name"), n, name::dns1123_subdomain(n));
                }
            }
        }
        if present == 0 {
            let why = "must specify one of: `configMapRef` or `secretRef`";
            errors.push(FieldError::invalid(path, "\"\"", why));
        } else if present > 1 {
            errors.push(FieldError::invalid(path, "\"\"", MORE_THAN_ONE));
        }
    }
}

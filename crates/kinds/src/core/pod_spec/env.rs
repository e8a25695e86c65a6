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
    for source in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(r) = from.get(source) {
            let at = path.child(source);
            required(errors, r, "name", &at);
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
            _ => errors.push(FieldError::invalid(path, quoted(field), "does not support subscript")),
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
    if in_volume && r.str_at(&["containerName"]).is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
        return;
    }
    let resource = r.str_at(&["resource"]);
    let huge = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if resource.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), ""));
    } else if !huge && !RESOURCES.contains(&resource) {
        errors.push(FieldError::not_supported(&path.child("resource"), resource, RESOURCES));
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
                required(errors, r, "name", &at.child(source));
            }
        }
        if present == 0 {
            let why = "must specify one of: `configMapRef` or `secretRef`";
            errors.push(FieldError::invalid(&at, "\"\"", why));
        } else if present > 1 {
            errors.push(FieldError::invalid(&at, "\"\"", MORE_THAN_ONE));
        }
    }
}

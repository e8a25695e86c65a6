//! Volumes of a pod: names, exactly one source each, and the sources that nodes of ours mount in detail.
// k8s: pkg/apis/core/validation/validation.go ValidateVolumes, validateVolumeSource

use std::collections::BTreeSet;

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use super::env::{VOLUME_FIELDS, field_ref, resource_field_ref};
use crate::rules::{Errors, each, printed, required};

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// All volumes; gives their names.
pub fn validate(errors: &mut Errors, volumes: &[Value], path: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (i, v) in volumes.iter().enumerate() {
        let at = path.index(i);
        source(errors, v, &at);
        if let Some(n) = required(errors, v, "name", &at) {
            let complaints = name::dns1123_label(n);
            if complaints.is_empty() && !names.insert(n.to_owned()) {
                errors.push(FieldError::duplicate(&at.child("name"), quoted(n)));
            }
            each(errors, &at.child("name"), n, complaints);
        }
    }
    names
}

fn source(errors: &mut Errors, v: &Value, path: &Path) {
    let mut present = 0;
    for (kind, s) in v.as_map().into_iter().flat_map(|m| m.iter()) {
        if kind == "name" || s.is_null() {
            continue;
        }
        present += 1;
        let at = path.child(kind);
        if present > 1 {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type"));
            continue;
        }
        match kind {
            "emptyDir" => {
                if let Some(q) = s.get("sizeLimit").and_then(super::quantity)
                    && q.sign() < 0
                {
                    let why = "SizeLimit field must be a valid resource quantity";
                    errors.push(FieldError::forbidden(&at.child("sizeLimit"), why));
                }
            }
            "hostPath" => host_path(errors, s, &at),
            "secret" => {
                required(errors, s, "secretName", &at);
                mode(errors, s, "defaultMode", &at);
                items(errors, s, &at);
            }
            "configMap" => {
                required(errors, s, "name", &at);
                mode(errors, s, "defaultMode", &at);
                items(errors, s, &at);
            }
            "downwardAPI" => {
                mode(errors, s, "defaultMode", &at);
                downward(errors, s, &at);
            }
            "projected" => projected(errors, s, &at),
            "persistentVolumeClaim" => {
                required(errors, s, "claimName", &at);
            }
            "nfs" => nfs(errors, s, &at),
            "csi" => {
                required(errors, s, "driver", &at);
            }
            "ephemeral" if s.get("volumeClaimTemplate").is_none() => {
                errors.push(FieldError::required(&at.child("volumeClaimTemplate"), ""));
            }
            _ => {}
        }
    }
    if present == 0 {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

/// A host path, in volumes and persistent volumes.
pub fn host_path(errors: &mut Errors, s: &Value, path: &Path) {
    if let Some(p) = required(errors, s, "path", path)
        && p.split('/').any(|part| part == "..")
    {
        errors.push(FieldError::invalid(&path.child("path"), quoted(p), "must not contain '..'"));
    }
    let kind = s.str_at(&["type"]);
    if !HOST_PATH_TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, HOST_PATH_TYPES));
    }
}

fn nfs(errors: &mut Errors, s: &Value, path: &Path) {
    required(errors, s, "server", path);
    if let Some(p) = required(errors, s, "path", path)
        && !p.starts_with('/')
    {
        errors.push(FieldError::invalid(&path.child("path"), quoted(p), "must be an absolute path"));
    }
}

fn mode(errors: &mut Errors, s: &Value, field: &str, path: &Path) {
    if let Some(n) = s.int_at(&[field]).filter(|n| !(0..=0o777).contains(n)) {
        errors.push(FieldError::invalid(&path.child(field), n.to_string(), MODE));
    }
}

fn items(errors: &mut Errors, s: &Value, path: &Path) {
    for (i, item) in s.list_at(&["items"]).iter().enumerate() {
        let at = path.child("items").index(i);
        required(errors, item, "key", &at);
        if let Some(p) = required(errors, item, "path", &at) {
            local_non_reserved_path(errors, p, &at.child("path"));
        }
        mode(errors, item, "mode", &at);
    }
}

fn downward(errors: &mut Errors, s: &Value, path: &Path) {
    for (i, item) in s.list_at(&["items"]).iter().enumerate() {
        let at = path.child("items").index(i);
        if let Some(p) = required(errors, item, "path", &at) {
            local_non_reserved_path(errors, p, &at.child("path"));
        }
        match (item.get("fieldRef"), item.get("resourceFieldRef")) {
            (Some(f), None) => field_ref(errors, f, VOLUME_FIELDS, &at.child("fieldRef")),
            (None, Some(r)) => resource_field_ref(errors, r, true, &at.child("resourceFieldRef")),
            (Some(_), Some(_)) => {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, "\"resource\"", why));
            }
            (None, None) => {
                errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
            }
        }
        mode(errors, item, "mode", &at);
    }
}

fn projected(errors: &mut Errors, s: &Value, path: &Path) {
    mode(errors, s, "defaultMode", path);
    for (i, src) in s.list_at(&["sources"]).iter().enumerate() {
        let at = path.child("sources").index(i);
        let mut present = 0;
        for (kind, v) in src.as_map().into_iter().flat_map(|m| m.iter()).filter(|(_, v)| !v.is_null()) {
            present += 1;
            let kind_at = at.child(kind);
            if present > 1 {
                errors.push(FieldError::forbidden(&kind_at, "may not specify more than 1 volume type"));
                continue;
            }
            match kind {
                "secret" | "configMap" => {
                    required(errors, v, "name", &kind_at);
                    items(errors, v, &kind_at);
                }
                "downwardAPI" => downward(errors, v, &kind_at),
                "serviceAccountToken" => token(errors, v, &kind_at),
                _ => {}
            }
        }
        if present == 0 {
            errors.push(FieldError::required(&at, "must specify a volume type"));
        }
    }
}

fn token(errors: &mut Errors, v: &Value, path: &Path) {
    let at = path.child("expirationSeconds");
    if let Some(n) = v.int_at(&["expirationSeconds"]) {
        let why = if n < 600 {
            "may not specify a duration less than 10 minutes"
        } else if n > 1 << 32 {
            "may not specify a duration larger than 2^32 seconds"
        } else {
            ""
        };
        if !why.is_empty() {
            errors.push(FieldError::invalid(&at, n.to_string(), why));
        }
    }
    if let Some(p) = required(errors, v, "path", path) {
        local_non_reserved_path(errors, p, &path.child("path"));
    }
}

/// A path below a directory: relative and without a way up.
// k8s: pkg/apis/core/validation/validation.go validateLocalDescendingPath
pub fn local_path(errors: &mut Errors, p: &str, path: &Path) {
    if p.starts_with('/') {
        errors.push(FieldError::invalid(path, quoted(p), "must be a relative path"));
    }
    if p.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, quoted(p), "must not contain '..'"));
    }
}

fn local_non_reserved_path(errors: &mut Errors, p: &str, path: &Path) {
    local_path(errors, p, path);
    if p.starts_with("..") && !p.starts_with("../") {
        errors.push(FieldError::invalid(path, quoted(p), "must not start with '..'"));
    }
}

/// The mounts of a container.
// k8s: pkg/apis/core/validation/validation.go ValidateVolumeMounts
pub fn mounts(errors: &mut Errors, container: &Value, volumes: &BTreeSet<String>, path: &Path) {
    let mut seen = BTreeSet::new();
    for (i, m) in container.list_at(&["volumeMounts"]).iter().enumerate() {
        let at = path.child("volumeMounts").index(i);
        if let Some(n) = required(errors, m, "name", &at)
            && !volumes.contains(n)
        {
            errors.push(FieldError::not_found(&at.child("name"), quoted(n)));
        }
        if let Some(p) = required(errors, m, "mountPath", &at)
            && !seen.insert(p.to_owned())
        {
            errors.push(FieldError::invalid(&at.child("mountPath"), quoted(p), "must be unique"));
        }
        let sub_path = m.str_at(&["subPath"]);
        local_path(errors, sub_path, &at.child("subPath"));
        let expression = m.str_at(&["subPathExpr"]);
        if !expression.is_empty() {
            if !sub_path.is_empty() {
                let why = "subPathExpr and subPath are mutually exclusive";
                errors.push(FieldError::invalid(&at.child("subPathExpr"), quoted(expression), why));
            }
            local_path(errors, expression, &at.child("subPathExpr"));
        }
        propagation(errors, m, container, &at.child("mountPropagation"));
    }
    for (i, d) in container.list_at(&["volumeDevices"]).iter().enumerate() {
        let at = path.child("volumeDevices").index(i);
        if let Some(n) = required(errors, d, "name", &at)
            && !volumes.contains(n)
        {
            errors.push(FieldError::not_found(&at.child("name"), quoted(n)));
        }
        if let Some(p) = required(errors, d, "devicePath", &at)
            && !seen.insert(p.to_owned())
        {
            let why = "must not already exist in volumeMounts";
            errors.push(FieldError::invalid(&at.child("devicePath"), quoted(p), why));
        }
    }
}

fn propagation(errors: &mut Errors, mount: &Value, container: &Value, path: &Path) {
    let Some(p) = mount.get("mountPropagation") else { return };
    let supported = ["Bidirectional", "HostToContainer", "None"];
    match p.as_str() {
        Some(s) if supported.contains(&s) => {
            let privileged = container.bool_at(&["securityContext", "privileged"]) == Some(true);
            if s == "Bidirectional" && !privileged {
                let why = "Bidirectional mount propagation is available only to privileged containers";
                errors.push(FieldError::forbidden(path, why));
            }
        }
        Some(s) => errors.push(FieldError::not_supported(path, s, &supported)),
        None => errors.push(FieldError::invalid(path, printed(Some(p)), "must be a string")),
    }
}

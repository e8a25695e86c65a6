//! Security contexts of pods and containers.
// k8s: pkg/apis/core/validation/validation.go ValidateSecurityContext, validatePodSpecSecurityContext

use meta::{FieldError, Path, name};
use schema::Value;

use crate::rules::{Errors, optional_one_of, printed};

const MAX_ID: i64 = 0xffff_ffff;

fn id(errors: &mut Errors, v: Option<i64>, path: &Path) {
    if let Some(n) = v.filter(|n| !(0..=MAX_ID).contains(n)) {
        errors.push(FieldError::invalid(path, n.to_string(), name::inclusive_range(0, MAX_ID)));
    }
}

/// The context of a container.
pub fn container(errors: &mut Errors, sc: &Value, path: &Path) {
    id(errors, sc.int_at(&["runAsUser"]), &path.child("runAsUser"));
    id(errors, sc.int_at(&["runAsGroup"]), &path.child("runAsGroup"));
    optional_one_of(errors, sc, "procMount", path, &["Default", "Unmasked"]);
    seccomp(errors, sc.get("seccompProfile"), &path.child("seccompProfile"));
    if sc.bool_at(&["allowPrivilegeEscalation"]) == Some(false) {
        if sc.bool_at(&["privileged"]) == Some(true) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(path, printed(Some(sc)), why));
        }
        let added = sc.list_at(&["capabilities", "add"]);
        if added.iter().any(|c| c.as_str() == Some("CAP_SYS_ADMIN")) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(path, printed(Some(sc)), why));
        }
    }
}

fn seccomp(errors: &mut Errors, profile: Option<&Value>, path: &Path) {
    let Some(p) = profile else { return };
    let local = p.str_at(&["localhostProfile"]);
    match p.str_at(&["type"]) {
        "" => errors
            .push(FieldError::required(&path.child("type"), "type is required when seccompProfile is set")),
        "Localhost" if p.get("localhostProfile").is_none() => errors.push(FieldError::required(
            &path.child("localhostProfile"),
            "must be set when seccomp type is Localhost",
        )),
        "Localhost" => super::volume::local_path(errors, local, &path.child("localhostProfile")),
        "RuntimeDefault" | "Unconfined" => {
            if p.get("localhostProfile").is_some() {
                let why = "can only be set when seccomp type is Localhost";
                errors.push(FieldError::invalid(&path.child("localhostProfile"), printed(Some(p)), why));
            }
        }
        other => errors.push(FieldError::not_supported(
            &path.child("type"),
            other,
            &["Localhost", "RuntimeDefault", "Unconfined"],
        )),
    }
}

/// The context of a pod.
pub fn pod(errors: &mut Errors, spec: &Value, path: &Path) {
    let Some(sc) = spec.get("securityContext") else { return };
    for field in ["fsGroup", "runAsGroup", "runAsUser"] {
        id(errors, sc.int_at(&[field]), &path.child(field));
    }
    for (i, g) in sc.list_at(&["supplementalGroups"]).iter().enumerate() {
        id(errors, g.as_int(), &path.child("supplementalGroups").index(i));
    }
    for (i, s) in sc.list_at(&["sysctls"]).iter().enumerate() {
        let at = path.child("sysctls").index(i);
        if let Some(n) = crate::rules::required(errors, s, "name", &at)
            && !is_sysctl(n)
        {
            let why = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid(&at.child("name"), meta::field::quoted(n), why));
        }
    }
    optional_one_of(errors, sc, "fsGroupChangePolicy", path, &["Always", "OnRootMismatch"]);
    seccomp(errors, sc.get("seccompProfile"), &path.child("seccompProfile"));
    if spec.bool_at(&["hostPID"]) == Some(true) && spec.bool_at(&["shareProcessNamespace"]) == Some(true) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&path.child("shareProcessNamespace"), "true", why));
    }
}

fn is_sysctl(s: &str) -> bool {
    let part = |p: &str| {
        let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let b = p.as_bytes();
        matches!((b.first(), b.last()), (Some(&f), Some(&l)) if edge(f) && edge(l))
            && b.iter().all(|&c| edge(c) || c == b'-' || c == b'_')
    };
    s.len() <= 253 && s.split(['.', '/']).all(part)
}

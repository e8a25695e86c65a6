//! Security contexts of pods and containers.
// k8s: pkg/apis/core/validation/validation.go ValidateSecurityContext, validatePodSpecSecurityContext

use meta::{FieldError, Path, name};
use schema::Value;

use crate::rules::{Errors, optional_one_of, printed};

const APP_ARMOR_PROFILE_MAX_BYTES: usize = 4095;

const MAX_ID: i64 = 0xffff_ffff;

fn id(errors: &mut Errors, v: Option<i64>, path: &Path) {
    if let Some(n) = v.filter(|n| !(0..=MAX_ID).contains(n)) {
        errors.push(FieldError::invalid(path, n.to_string(), name::inclusive_range(0, MAX_ID)));
    }
}

/// The context of a container.
pub fn container(errors: &mut Errors, sc: &Value, host_users: bool, path: &Path) {
    id(errors, sc.int_at(&["runAsUser"]), &path.child("runAsUser"));
    id(errors, sc.int_at(&["runAsGroup"]), &path.child("runAsGroup"));
    optional_one_of(errors, sc, "procMount", path, &["Default", "Unmasked"]);
    if host_users && sc.str_at(&["procMount"]) == "Unmasked" {
        let why = "`hostUsers` must be false to use `Unmasked`";
        errors.push(FieldError::invalid(&path.child("procMount"), "\"Unmasked\"", why));
    }
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
    app_armor(errors, sc.get("appArmorProfile"), &path.child("appArmorProfile"));
}

// k8s: pkg/apis/core/validation/validation.go ValidateAppArmorProfileField
fn app_armor(errors: &mut Errors, profile: Option<&Value>, path: &Path) {
    let Some(p) = profile else { return };
    let at = path.child("localhostProfile");
    let local = p.get("localhostProfile").and_then(Value::as_str);
    match p.str_at(&["type"]) {
        "Localhost" => match local {
            None | Some("") => {
                errors.push(FieldError::required(&at, "must be set when AppArmor type is Localhost"));
            }
            Some(local) => {
                if local.trim() != local {
                    let why = "must not be padded with whitespace";
                    errors.push(FieldError::invalid(&at, meta::field::quoted(local), why));
                }
                if local.len() > APP_ARMOR_PROFILE_MAX_BYTES {
                    errors.push(FieldError::too_long(&at, APP_ARMOR_PROFILE_MAX_BYTES));
                }
            }
        },
        "RuntimeDefault" | "Unconfined" => {
            if let Some(local) = local {
                let why = "can only be set when AppArmor type is Localhost";
                errors.push(FieldError::invalid(&at, meta::field::quoted(local), why));
            }
        }
        "" => {
            let why = "type is required when appArmorProfile is set";
            errors.push(FieldError::required(&path.child("type"), why));
        }
        other => {
            let supported = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.push(FieldError::not_supported(&path.child("type"), other, &supported));
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
        "RuntimeDefault" | "Unconfined" => {}
        other => errors.push(FieldError::not_supported(
            &path.child("type"),
            other,
            &["Localhost", "RuntimeDefault", "Unconfined"],
        )),
    }
    if p.str_at(&["type"]) != "Localhost" && p.get("localhostProfile").is_some() {
        let why = "can only be set when seccomp type is Localhost";
        errors.push(FieldError::invalid(&path.child("localhostProfile"), printed(Some(p)), why));
    }
}

/// The context of a pod.
pub fn pod(errors: &mut Errors, spec: &Value, path: &Path) {
    host_users(errors, spec, path);
    if spec.bool_at(&["hostPID"]) == Some(true) && spec.bool_at(&["shareProcessNamespace"]) == Some(true) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        let at = path.child("securityContext").child("shareProcessNamespace");
        errors.push(FieldError::invalid(&at, "true", why));
    }
    let Some(sc) = spec.get("securityContext") else { return };
    let path = &path.child("securityContext");
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(errors, sc.int_at(&[field]), &path.child(field));
    }
    for (i, g) in sc.list_at(&["supplementalGroups"]).iter().enumerate() {
        id(errors, g.as_int(), &path.child("supplementalGroups").index(i));
    }
    sysctls(errors, sc.list_at(&["sysctls"]), spec, &path.child("sysctls"));
    optional_one_of(errors, sc, "fsGroupChangePolicy", path, &["Always", "OnRootMismatch"]);
    seccomp(errors, sc.get("seccompProfile"), &path.child("seccompProfile"));
    app_armor(errors, sc.get("appArmorProfile"), &path.child("appArmorProfile"));
    optional_one_of(errors, sc, "supplementalGroupsPolicy", path, &["Merge", "Strict"]);
    optional_one_of(errors, sc, "seLinuxChangePolicy", path, &["MountOption", "Recursive"]);
}

/// A user namespace of its own excludes the host's other namespaces.
// k8s: pkg/apis/core/validation/validation.go validateHostUsers
fn host_users(errors: &mut Errors, spec: &Value, path: &Path) {
    if spec.bool_at(&["hostUsers"]) != Some(false) {
        return;
    }
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.bool_at(&[field]) == Some(true) {
            errors.push(FieldError::forbidden(&path.child(shown), "when `pod.Spec.HostUsers` is false"));
        }
    }
}

// k8s: pkg/apis/core/validation/validation.go validateSysctls, ValidateHostSysctl
fn sysctls(errors: &mut Errors, list: &[Value], spec: &Value, path: &Path) {
    let mut seen = Vec::new();
    for (i, s) in list.iter().enumerate() {
        let at = path.index(i).child("name");
        let n = s.str_at(&["name"]);
        if n.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !is_sysctl(n) {
            let why = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid(&at, meta::field::quoted(n), why));
        } else if seen.contains(&n) {
            errors.push(FieldError::duplicate(&at, meta::field::quoted(n)));
        }
        seen.push(n);
        let dotted = n.replace('/', ".");
        let of_ipc = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."];
        for (shared, concerned) in [
            ("hostNetwork", dotted.starts_with("net.")),
            ("hostIPC", of_ipc.iter().any(|p| dotted.starts_with(p))),
        ] {
            if concerned && spec.bool_at(&[shared]) == Some(true) {
                let why = format!("may not be specified when '{shared}' is true");
                errors.push(FieldError::invalid(&at, meta::field::quoted(n), why));
            }
        }
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

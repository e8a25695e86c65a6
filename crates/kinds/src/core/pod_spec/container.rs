//! Containers of every sort: what each must have, and what must be unique among them.
// k8s: pkg/apis/core/validation/validation.go validateContainers, validateInitContainers, validateContainerCommon

use std::collections::BTreeSet;

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use super::{env, probe, resources, security, volume};
use crate::rules::{Errors, each, one_of, required};

/// What the containers of one pod share.
pub struct Pod<'a> {
    pub volumes: &'a BTreeSet<String>,
    pub host_network: bool,
}

/// `containers`, `initContainers` and `ephemeralContainers`.
pub fn validate(errors: &mut Errors, spec: &Value, pod: &Pod<'_>, path: &Path) {
    let mut names = BTreeSet::new();
    let mut host_ports = BTreeSet::new();
    let containers = spec.list_at(&["containers"]);
    let at = path.child("containers");
    if containers.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    for (i, c) in containers.iter().enumerate() {
        let at = at.index(i);
        common(errors, c, pod, &at);
        unique(errors, c, &mut names, &at);
        probe::lifecycle(errors, c, &at);
        probe::probes(errors, c, &at);
        host_port_conflicts(errors, c, &mut host_ports, &at);
    }
    for (i, c) in spec.list_at(&["initContainers"]).iter().enumerate() {
        let at = path.child("initContainers").index(i);
        common(errors, c, pod, &at);
        unique(errors, c, &mut names, &at);
        init_only(errors, c, &at);
    }
    for (i, c) in spec.list_at(&["ephemeralContainers"]).iter().enumerate() {
        let at = path.child("ephemeralContainers").index(i);
        common(errors, c, pod, &at);
        unique(errors, c, &mut names, &at);
        ephemeral_only(errors, c, spec, &at);
    }
}

fn unique(errors: &mut Errors, c: &Value, names: &mut BTreeSet<String>, path: &Path) {
    let n = c.str_at(&["name"]);
    if !n.is_empty() && !names.insert(n.to_owned()) {
        errors.push(FieldError::duplicate(&path.child("name"), quoted(n)));
    }
}

fn common(errors: &mut Errors, c: &Value, pod: &Pod<'_>, path: &Path) {
    if let Some(n) = required(errors, c, "name", path) {
        each(errors, &path.child("name"), n, name::dns1123_label(n));
    }
    image(errors, c, path);
    one_of(errors, c, "terminationMessagePolicy", path, &["FallbackToLogsOnError", "File"]);
    ports(errors, c, pod.host_network, &path.child("ports"));
    env::env(errors, c.list_at(&["env"]), &path.child("env"));
    env::env_from(errors, c.list_at(&["envFrom"]), &path.child("envFrom"));
    volume::mounts(errors, c, pod.volumes, path);
    one_of(errors, c, "imagePullPolicy", path, &["Always", "IfNotPresent", "Never"]);
    if let Some(r) = c.get("resources") {
        resources::validate(errors, r, &path.child("resources"));
    }
    if let Some(sc) = c.get("securityContext") {
        security::container(errors, sc, &path.child("securityContext"));
    }
}

/// The image of a container of a pod: there, and without blanks around it.
pub fn image(errors: &mut Errors, c: &Value, path: &Path) {
    let image = c.str_at(&["image"]);
    if image.is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    } else if image != image.trim() {
        let why = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), quoted(image), why));
    }
}

fn ports(errors: &mut Errors, c: &Value, host_network: bool, path: &Path) {
    let mut names = BTreeSet::new();
    for (i, p) in c.list_at(&["ports"]).iter().enumerate() {
        let at = path.index(i);
        let n = p.str_at(&["name"]);
        if !n.is_empty() {
            let complaints = name::port_name(n);
            if complaints.is_empty() && !names.insert(n.to_owned()) {
                errors.push(FieldError::duplicate(&at.child("name"), quoted(n)));
            }
            each(errors, &at.child("name"), n, complaints);
        }
        let number = p.int_at(&["containerPort"]).unwrap_or(0);
        let host_port = p.int_at(&["hostPort"]).unwrap_or(0);
        if number == 0 {
            errors.push(FieldError::required(&at.child("containerPort"), ""));
        } else {
            for why in name::port_number(number) {
                errors.push(FieldError::invalid(&at.child("containerPort"), number.to_string(), why));
            }
        }
        if host_port != 0 {
            for why in name::port_number(host_port) {
                errors.push(FieldError::invalid(&at.child("hostPort"), host_port.to_string(), why));
            }
        }
        if host_network && host_port != 0 && host_port != number {
            let why = "must match `hostPort` when `hostNetwork` is true";
            errors.push(FieldError::invalid(&at.child("containerPort"), number.to_string(), why));
        }
        one_of(errors, p, "protocol", &at, &["SCTP", "TCP", "UDP"]);
    }
}

fn host_port_conflicts(errors: &mut Errors, c: &Value, seen: &mut BTreeSet<String>, path: &Path) {
    for (i, p) in c.list_at(&["ports"]).iter().enumerate() {
        let n = p.int_at(&["hostPort"]).unwrap_or(0);
        if n == 0 {
            continue;
        }
        let key = format!("{}/{}/{n}", p.str_at(&["protocol"]), p.str_at(&["hostIP"]));
        if !seen.insert(key.clone()) {
            let at = path.child("ports").index(i).child("hostPort");
            errors.push(FieldError::duplicate(&at, quoted(&key)));
        }
    }
}

/// Init containers have no probes and hooks unless they are sidecars (`restartPolicy: Always`).
fn init_only(errors: &mut Errors, c: &Value, path: &Path) {
    let policy = c.str_at(&["restartPolicy"]);
    if policy == "Always" {
        super::probe::lifecycle(errors, c, path);
        super::probe::probes(errors, c, path);
        return;
    }
    if !policy.is_empty() && !matches!(policy, "Never" | "OnFailure") {
        let supported = ["Always", "Never", "OnFailure"];
        errors.push(FieldError::not_supported(&path.child("restartPolicy"), policy, &supported));
    }
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if c.get(field).is_some() {
            let why = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(&path.child(field), why));
        }
    }
}

/// Ephemeral containers have neither ports, probes, hooks nor resources.
fn ephemeral_only(errors: &mut Errors, c: &Value, spec: &Value, path: &Path) {
    for field in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy"] {
        if c.get(field).is_some_and(|v| v.as_list().is_none_or(|l| !l.is_empty())) {
            let why = "cannot be set for an Ephemeral Container";
            errors.push(FieldError::forbidden(&path.child(field), why));
        }
    }
    if c.get("resources").and_then(Value::as_map).is_some_and(|m| !m.is_empty()) {
        let why = "cannot be set for an Ephemeral Container";
        errors.push(FieldError::forbidden(&path.child("resources"), why));
    }
    let target = c.str_at(&["targetContainerName"]);
    let known = ["containers", "initContainers"];
    let found = known.iter().any(|l| spec.list_at(&[*l]).iter().any(|c| c.str_at(&["name"]) == target));
    if !target.is_empty() && !found {
        errors.push(FieldError::not_found(&path.child("targetContainerName"), quoted(target)));
    }
}

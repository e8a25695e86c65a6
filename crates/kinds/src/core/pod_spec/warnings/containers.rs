//! What containers are answered with: quantities, variables, ports, profiles in annotations.

use std::collections::{BTreeMap, BTreeSet};

use meta::Path;
use schema::Value;

use super::about::{About, BYTES, Budget};
use crate::core::pod_spec::app_armor;
use crate::warnings::fractional;

const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(super) const NO_SECCOMP_ANNOTATION: &str =
    "non-functional in v1.27+; use the \"seccompProfile\" field instead";

pub(super) fn of(out: &mut Vec<String>, about: &About<'_>) {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let all: Vec<(Path, &Value)> = lists
        .iter()
        .flat_map(|list| {
            let containers = about.spec.list_at(&[list]).iter().enumerate();
            containers.map(move |(i, c)| (about.at(list).index(i), c))
        })
        .collect();
    for (path, c) in &all {
        profiles(out, about, c);
        for field in ["limits", "requests"] {
            let quantities = c.at(&["resources", field]);
            fractional(out, quantities, &BYTES[..1], &path.child("resources").child(field));
        }
        for field in ["limits", "requests"] {
            let quantities = c.at(&["resources", field]);
            fractional(out, quantities, &BYTES[1..], &path.child("resources").child(field));
        }
        variables(out, c, path);
    }
    ports(out, &all);
    port_names(out, &all);
}

/// Profiles that only an annotation names.
fn profiles(out: &mut Vec<String>, about: &About<'_>, c: &Value) {
    let name = c.str_at(&["name"]);
    let key = format!("{SECCOMP_CONTAINER}{name}");
    if c.at(&["securityContext", "seccompProfile"]).is_none() && about.annotation(&key).is_some() {
        out.push(format!("{}: {NO_SECCOMP_ANNOTATION}", about.annotation_path(&key)));
    }
    // Those of a pod become fields when it is made, and are told of then.
    if about.is_template {
        out.extend(app_armor::deprecated(about.spec, c, &about.path, |key| about.annotation(key)));
    }
}

fn variables(out: &mut Vec<String>, c: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (i, var) in c.list_at(&["env"]).iter().enumerate() {
        let name = var.str_at(&["name"]);
        if seen.insert(name) {
            continue;
        }
        // A value that is made of the one before keeps it.
        let (value, reference) = (var.str_at(&["value"]), format!("$({name})"));
        if var.get("valueFrom").is_some() || value == reference || !value.contains(&reference) {
            let at = path.child("env").index(i);
            out.push(format!(
                "{at}: hides previous definition of \"{name}\", which may be dropped when using apply"
            ));
        }
    }
}

/// A port as Go prints the struct.
fn printed(p: &Value) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        p.str_at(&["name"]),
        p.int_at(&["hostPort"]).unwrap_or(0),
        p.int_at(&["containerPort"]).unwrap_or(0),
        p.str_at(&["protocol"]),
        p.str_at(&["hostIP"]),
    )
}

fn ports(out: &mut Vec<String>, all: &[(Path, &Value)]) {
    let mut seen: BTreeMap<(i64, &str), Vec<(Path, i64, &str)>> = BTreeMap::new();
    let mut budget = Budget::new();
    for (path, c) in all {
        for (i, p) in c.list_at(&["ports"]).iter().enumerate() {
            let at = path.child("ports").index(i);
            let host_port = p.int_at(&["hostPort"]).unwrap_or(0);
            let host_ip = p.str_at(&["hostIP"]);
            if !host_ip.is_empty() && host_port == 0 {
                out.push(format!("{at}: hostIP set without hostPort: {}", printed(p)));
            }
            let key = (p.int_at(&["containerPort"]).unwrap_or(0), p.str_at(&["protocol"]));
            let others = seen.entry(key).or_default();
            for (other, other_port, other_ip) in others.iter() {
                if !budget.take(out) {
                    return;
                }
                let how = if host_ip == *other_ip && host_port == *other_port {
                    "duplicate"
                } else if host_port == 0 || *other_port == 0 {
                    "overlapping"
                } else if host_port == *other_port && host_ip.is_empty() != other_ip.is_empty() {
                    "dangerously ambiguous"
                } else {
                    continue;
                };
                out.push(format!("{at}: {how} port definition with {other}"));
            }
            others.push((at, host_port, host_ip));
        }
    }
}

fn port_names(out: &mut Vec<String>, all: &[(Path, &Value)]) {
    let mut seen: BTreeMap<&str, Path> = BTreeMap::new();
    for (path, c) in all {
        for (i, p) in c.list_at(&["ports"]).iter().enumerate() {
            let (name, at) = (p.str_at(&["name"]), path.child("ports").index(i));
            match seen.get(name) {
                _ if name.is_empty() => {}
                Some(other) => out.push(format!(
                    "{at}: duplicate port name \"{name}\" with {other}, services and probes that select ports by \
                     name will use {other}"
                )),
                None => {
                    seen.insert(name, at);
                }
            }
        }
    }
}

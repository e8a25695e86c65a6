//! What pods and templates of pods are answered with besides the object.
// k8s: pkg/api/pod/warnings.go warningsForPodSpecAndMeta

mod about;
mod containers;
mod paths;
mod volumes;

#[cfg(test)]
mod cases;

pub use self::volumes::claim;

use std::collections::BTreeSet;

use meta::Path;
use schema::Value;

use self::about::{About, BYTES};
use crate::operation::Operation;
use crate::warnings::{Write, fractional, ip, names_pods, node_expressions, node_label, texts};

const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";

// k8s: pkg/api/pod/warnings.go deprecatedAnnotations
const ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// Of a pod. Only making one is answered: pods are seldom updated by hand.
#[must_use]
pub fn pod(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    match w.operation {
        Operation::Create => {
            named(&mut out, w.new.str_at(&["metadata", "name"]));
            let path = Path::new("");
            of(&mut out, w.new, path, false);
        }
        Operation::UpdateStatus => {
            for field in ["podIPs", "hostIPs"] {
                let path = Path::new("status").child(field);
                for (i, entry) in w.new.list_at(&["status", field]).iter().enumerate() {
                    ip(&mut out, &path.index(i).child("ip"), entry.str_at(&["ip"]));
                }
            }
        }
        _ => {}
    }
    out
}

fn named(out: &mut Vec<String>, name: &str) {
    let msgs = meta::name::dns1123_label(name);
    if !msgs.is_empty() {
        out.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS \
             label is recommended: [{}]",
            msgs.join(" ")
        ));
    }
}

/// Of a Deployment or a ReplicaSet.
#[must_use]
pub fn workload(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if w.creates() {
        names_pods(&mut out, w.new);
    }
    if w.changes(&["spec"]) {
        template(&mut out, w.new.at(&["spec", "template"]), "spec.template");
    }
    out
}

/// Of a template at that path.
pub fn template(out: &mut Vec<String>, template: Option<&Value>, path: &str) {
    if let Some(t) = template {
        of(out, t, Path::new(path), true);
    }
}

fn of(out: &mut Vec<String>, object: &Value, path: Path, is_template: bool) {
    let empty = crate::defaults::empty_map();
    let about = About {
        spec: object.get("spec").unwrap_or(&empty),
        annotations: object.at(&["metadata", "annotations"]),
        path,
        is_template,
    };
    nodes(out, &about);
    spreading(out, &about);
    for (key, why) in ANNOTATIONS {
        if about.annotation(key).is_some() {
            out.push(format!("{}: {why}", about.annotation_path(key)));
        }
    }
    volumes::of(out, &about);
    paths::of(out, &about);
    names(out, &about);
    fractional(out, about.spec.get("overhead"), BYTES, &about.at("overhead"));
    if about.spec.at(&["securityContext", "seccompProfile"]).is_none()
        && about.annotation(SECCOMP_POD).is_some()
    {
        out.push(format!("{}: {}", about.annotation_path(SECCOMP_POD), containers::NO_SECCOMP_ANNOTATION));
    }
    containers::of(out, &about);
    if about.spec.int_at(&["terminationGracePeriodSeconds"]).is_some_and(|s| s < 0) {
        out.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            about.at("terminationGracePeriodSeconds")
        ));
    }
    pod_affinity(out, &about);
    let servers = about.at("dnsConfig").child("nameservers");
    for (i, server) in texts(about.spec, &["dnsConfig", "nameservers"]) {
        ip(out, &servers.index(i), server);
    }
    for (i, alias) in about.spec.list_at(&["hostAliases"]).iter().enumerate() {
        ip(out, &about.at("hostAliases").index(i).child("ip"), alias.str_at(&["ip"]));
    }
}

/// Labels of nodes that are no longer to be used.
fn nodes(out: &mut Vec<String>, about: &About<'_>) {
    for (key, _) in about.spec.get("nodeSelector").and_then(Value::as_map).into_iter().flat_map(|m| m.iter())
    {
        if let Some(why) = node_label(key) {
            out.push(format!("{}: {why}", about.at("nodeSelector").key(key)));
        }
    }
    let (a, b) = ("affinity", "nodeAffinity");
    let path = about.at(a).child(b);
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    for (i, term) in about.spec.list_at(&[a, b, required, "nodeSelectorTerms"]).iter().enumerate() {
        node_expressions(out, term, false, &path.child(required).child("nodeSelectorTerms").index(i));
    }
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    for (i, term) in about.spec.list_at(&[a, b, preferred]).iter().enumerate() {
        if let Some(preference) = term.get("preference") {
            node_expressions(out, preference, true, &path.child(preferred).index(i).child("preference"));
        }
    }
}

fn spreading(out: &mut Vec<String>, about: &About<'_>) {
    for (i, c) in about.spec.list_at(&["topologySpreadConstraints"]).iter().enumerate() {
        let at = about.at("topologySpreadConstraints").index(i);
        let key = c.str_at(&["topologyKey"]);
        if let Some(why) = node_label(key) {
            out.push(format!("{}: {key} is {why}", at.child("topologyKey")));
        }
        if c.get("labelSelector").is_none() {
            out.push(format!("{}: {NO_SELECTOR}", at.child("labelSelector")));
        }
    }
}

/// Host aliases and pull secrets that are there twice, or have no name.
fn names(out: &mut Vec<String>, about: &About<'_>) {
    for (list, field) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let mut seen = BTreeSet::new();
        for (i, item) in about.spec.list_at(&[list]).iter().enumerate() {
            let value = item.str_at(&[field]);
            if !seen.insert(value) {
                out.push(format!("{}: duplicate {field} \"{value}\"", about.at(list).index(i).child(field)));
            }
        }
    }
    for (i, item) in about.spec.list_at(&["imagePullSecrets"]).iter().enumerate() {
        if item.str_at(&["name"]).is_empty() {
            let at = about.at("imagePullSecrets").index(i).child("name");
            out.push(format!("{at}: invalid empty name \"\""));
        }
    }
}

/// Terms of affinity without a selector.
fn pod_affinity(out: &mut Vec<String>, about: &About<'_>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let path = about.at("affinity").child(kind);
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        for (i, term) in about.spec.list_at(&["affinity", kind, required]).iter().enumerate() {
            if term.get("labelSelector").is_none() {
                out.push(format!("{}: {NO_SELECTOR}", path.child(required).index(i).child("labelSelector")));
            }
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for (i, term) in about.spec.list_at(&["affinity", kind, preferred]).iter().enumerate() {
            if term.at(&["podAffinityTerm", "labelSelector"]).is_none() {
                let at = path.child(preferred).index(i).child("podAffinityTerm").child("labelSelector");
                out.push(format!("{at}: {NO_SELECTOR}"));
            }
        }
    }
}

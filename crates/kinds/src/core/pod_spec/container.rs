//! Containers of every sort: what each must have, and what must be unique among them.
// k8s: pkg/apis/core/validation/validation.go validateContainers, validateInitContainers, validateContainerCommon

use std::collections::{BTreeMap, BTreeSet};

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use super::{env, probe, resources, security, volume};
use crate::rules::{Errors, each, one_of, printed, required};

/// What the containers of one pod share.
pub struct Pod<'a> {
    /// Valid volumes by name.
    pub volumes: &'a BTreeMap<&'a str, &'a Value>,
    /// Names of `resourceClaims`.
    pub claims: &'a BTreeSet<&'a str>,
    pub grace_seconds: i64,
    pub restart_policy: &'a str,
    /// `hostUsers` is not false.
    pub host_users: bool,
}

const ONLY_SIDECARS: &str = "may not be set for init containers without restartPolicy=Always";
const NOT_EPHEMERAL: &str = "cannot be set for an Ephemeral Container";
/// Most rules in `restartPolicyRules`, and most exit codes in one of them.
const MAX_RESTART_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

/// `containers`, `initContainers` and `ephemeralContainers`.
pub fn validate(errors: &mut Errors, spec: &Value, pod: &Pod<'_>, path: &Path) {
    let mut names = BTreeSet::new();
    regular(errors, spec.list_at(&["containers"]), pod, &mut names, &path.child("containers"));
    let at = path.child("initContainers");
    for (i, c) in spec.list_at(&["initContainers"]).iter().enumerate() {
        init(errors, c, pod, &mut names, (&at, i));
    }
    let others = names.clone();
    for (i, c) in spec.list_at(&["ephemeralContainers"]).iter().enumerate() {
        let at = path.child("ephemeralContainers").index(i);
        common(errors, c, pod, &at);
        blanks(errors, c, &at);
        unique(errors, c, &mut names, &at);
        ephemeral_only(errors, c, &others, &at);
    }
}

fn regular<'a>(
    errors: &mut Errors,
    containers: &'a [Value],
    pod: &Pod<'_>,
    names: &mut BTreeSet<&'a str>,
    path: &Path,
) {
    if containers.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    for (i, c) in containers.iter().enumerate() {
        let at = path.index(i);
        common(errors, c, pod, &at);
        unique(errors, c, names, &at);
        probe::lifecycle(errors, c, pod.grace_seconds, &at);
        probe::probes(errors, c, &at);
        restart_rules(errors, c, &at);
    }
    let mut host_ports = BTreeSet::new();
    for (i, c) in containers.iter().enumerate() {
        host_port_conflicts(errors, c, &mut host_ports, &path.index(i));
    }
}

fn unique<'a>(errors: &mut Errors, c: &'a Value, names: &mut BTreeSet<&'a str>, path: &Path) {
    let n = c.str_at(&["name"]);
    if !n.is_empty() && !names.insert(n) {
        errors.push(FieldError::duplicate(&path.child("name"), quoted(n)));
    }
}

fn common(errors: &mut Errors, c: &Value, pod: &Pod<'_>, path: &Path) {
    if let Some(n) = required(errors, c, "name", path) {
        each(errors, &path.child("name"), n, name::dns1123_label(n));
    }
    // Templates may hold an image of blanks, for those who put the image in later.
    required(errors, c, "image", path);
    one_of(errors, c, "terminationMessagePolicy", path, &["File", "FallbackToLogsOnError"]);
    ports(errors, c, &path.child("ports"));
    env::env(errors, c.list_at(&["env"]), &path.child("env"));
    env::env_from(errors, c.list_at(&["envFrom"]), &path.child("envFrom"));
    volume::mounts(errors, c, pod.volumes, path);
    one_of(errors, c, "imagePullPolicy", path, &["Always", "IfNotPresent", "Never"]);
    if let Some(r) = c.get("resources") {
        resources::validate(errors, r, pod.claims, &path.child("resources"));
    }
    resize_policy(errors, c, pod.restart_policy, &path.child("resizePolicy"));
    if let Some(sc) = c.get("securityContext") {
        security::container(errors, sc, pod.host_users, &path.child("securityContext"));
    }
}

/// The image of a container of a pod has no blanks around it.
pub fn blanks(errors: &mut Errors, c: &Value, path: &Path) {
    let image = c.str_at(&["image"]);
    if image != image.trim() {
        let why = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), quoted(image), why));
    }
}

fn ports(errors: &mut Errors, c: &Value, path: &Path) {
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
        one_of(errors, p, "protocol", &at, &["SCTP", "TCP", "UDP"]);
    }
}

/// On the host's network a port is the host's too; in a template it may be left out.
// k8s: pkg/apis/core/validation/validation.go validatePodHostNetworkDeps
pub fn host_network(errors: &mut Errors, spec: &Value, is_pod: bool, path: &Path) {
    if spec.bool_at(&["hostNetwork"]) != Some(true) {
        return;
    }
    for (i, c) in spec.list_at(&["containers"]).iter().enumerate() {
        for (j, p) in c.list_at(&["ports"]).iter().enumerate() {
            let host_port = p.int_at(&["hostPort"]).unwrap_or(0);
            if (is_pod || host_port != 0) && host_port != p.int_at(&["containerPort"]).unwrap_or(0) {
                let at = path.child("containers").index(i).child("ports").index(j).child("hostPort");
                let why = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(&at, host_port.to_string(), why));
            }
        }
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

fn resize_policy(errors: &mut Errors, c: &Value, pod_policy: &str, path: &Path) {
    let mut seen = BTreeSet::new();
    for (i, p) in c.list_at(&["resizePolicy"]).iter().enumerate() {
        let resource = p.str_at(&["resourceName"]);
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(&path.index(i), quoted(resource)));
        }
        let policy = p.str_at(&["restartPolicy"]);
        for (value, known) in [(resource, ["cpu", "memory"]), (policy, ["NotRequired", "RestartContainer"])] {
            if value.is_empty() {
                errors.push(FieldError::required(path, ""));
            } else if !known.contains(&value) {
                errors.push(FieldError::not_supported(path, value, &known));
            }
        }
        if pod_policy == "Never" && policy != "NotRequired" {
            let why = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(path, quoted(policy), why));
        }
    }
}

/// Init containers have no probes and hooks unless they are sidecars (`restartPolicy: Always`).
fn init<'a>(
    errors: &mut Errors,
    c: &'a Value,
    pod: &Pod<'_>,
    names: &mut BTreeSet<&'a str>,
    (list, i): (&Path, usize),
) {
    let path = &list.index(i);
    common(errors, c, pod, path);
    restart_rules(errors, c, path);
    unique(errors, c, names, path);
    // Each runs alone, so conflicts are looked for in one at a time, and reported as of the first.
    host_port_conflicts(errors, c, &mut BTreeSet::new(), &list.index(0));
    if c.str_at(&["restartPolicy"]) == "Always" {
        probe::lifecycle(errors, c, pod.grace_seconds, path);
        probe::probes(errors, c, path);
        return;
    }
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if c.get(field).is_some() {
            errors.push(FieldError::forbidden(&path.child(field), ONLY_SIDECARS));
        }
    }
}

/// A container's own `restartPolicy` and `restartPolicyRules`.
// k8s: pkg/apis/core/validation/validation.go validateContainerRestartPolicy
fn restart_rules(errors: &mut Errors, c: &Value, path: &Path) {
    let policy = c.str_at(&["restartPolicy"]);
    let rules = c.list_at(&["restartPolicyRules"]);
    let known = ["Always", "Never", "OnFailure"];
    if c.get("restartPolicy").is_some() && !known.contains(&policy) {
        errors.push(FieldError::not_supported(&path.child("restartPolicy"), policy, &known));
    } else if c.get("restartPolicy").is_none() && !rules.is_empty() {
        let why = "must specify restartPolicy when restart rules are used";
        errors.push(FieldError::required(&path.child("restartPolicy"), why));
    }
    let at = path.child("restartPolicyRules");
    if rules.len() > MAX_RESTART_RULES {
        errors.push(FieldError::too_many(&at, rules.len(), MAX_RESTART_RULES));
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.index(i);
        one_of(errors, rule, "action", &at, &["Restart", "RestartAllContainers"]);
        let at = at.child("exitCodes");
        let Some(codes) = rule.get("exitCodes") else {
            errors.push(FieldError::required(&at, "must be specified"));
            continue;
        };
        one_of(errors, codes, "operator", &at, &["In", "NotIn"]);
        let values = codes.list_at(&["values"]);
        if values.len() > MAX_EXIT_CODES {
            errors.push(FieldError::too_many(&at.child("values"), values.len(), MAX_EXIT_CODES));
        }
    }
}

/// Ephemeral containers have neither ports, probes, hooks nor resources.
fn ephemeral_only(errors: &mut Errors, c: &Value, others: &BTreeSet<&str>, path: &Path) {
    let target = c.str_at(&["targetContainerName"]);
    if !target.is_empty() && !others.contains(target) {
        errors.push(FieldError::not_found(&path.child("targetContainerName"), quoted(target)));
    }
    for field in [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ] {
        let empty = |v: &Value| {
            v.as_list().is_some_and(<[Value]>::is_empty) || v.as_map().is_some_and(schema::Map::is_empty)
        };
        let probe = !matches!(field, "ports" | "resources" | "resizePolicy" | "restartPolicyRules");
        if c.get(field).is_some_and(|v| probe || !empty(v)) {
            errors.push(FieldError::forbidden(&path.child(field), NOT_EPHEMERAL));
        }
    }
    for (i, m) in c.list_at(&["volumeMounts"]).iter().enumerate() {
        for field in ["subPath", "subPathExpr"] {
            if !m.str_at(&[field]).is_empty() {
                let at = path.child("volumeMounts").index(i).child(field);
                errors.push(FieldError::forbidden(&at, NOT_EPHEMERAL));
            }
        }
    }
}

/// What `os: linux` and `os: windows` forbid each other.
// k8s: pkg/apis/core/validation/validation.go validateOS, validateLinux, validateWindows
pub fn os(errors: &mut Errors, spec: &Value, path: &Path) {
    let Some(os) = spec.get("os") else { return };
    match os.str_at(&["name"]) {
        "" => errors.push(FieldError::required(&path.child("os").child("name"), "cannot be empty")),
        "linux" => forbid_in_contexts(
            errors,
            spec,
            &["windowsOptions"],
            "windows options cannot be set for a linux pod",
            path,
        ),
        "windows" => {
            for field in ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"] {
                if spec.get(field).is_some_and(|v| field.ends_with("Users") || v.as_bool() == Some(true)) {
                    errors.push(FieldError::forbidden(&path.child(field), NOT_WINDOWS));
                }
            }
            forbid_in_contexts(errors, spec, LINUX_ONLY, NOT_WINDOWS, path);
        }
        other => {
            errors.push(FieldError::not_supported(&path.child("os"), other, &["linux", "windows"]));
        }
    }
}

const NOT_WINDOWS: &str = "cannot be set for a windows pod";
const LINUX_ONLY: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];

fn forbid_in_contexts(errors: &mut Errors, spec: &Value, fields: &[&str], why: &str, path: &Path) {
    let mut one = |holder: &Value, path: &Path| {
        for field in fields {
            if holder.at(&["securityContext", field]).is_some_and(|v| !v.is_null()) {
                errors.push(FieldError::forbidden(&path.child("securityContext").child(field), why));
            }
        }
    };
    one(spec, path);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, c) in spec.list_at(&[list]).iter().enumerate() {
            one(c, &path.child(list).index(i));
        }
    }
}

/// `resourceClaims` of a pod.
// k8s: pkg/apis/core/validation/validation.go validatePodResourceClaims
pub fn claims(errors: &mut Errors, list: &[Value], path: &Path) {
    let mut seen = BTreeSet::new();
    for (i, claim) in list.iter().enumerate() {
        let at = path.index(i);
        if let Some(n) = required(errors, claim, "name", &at) {
            if seen.insert(n) {
                each(errors, &at.child("name"), n, name::dns1123_label(n));
            } else {
                errors.push(FieldError::duplicate(&at.child("name"), quoted(n)));
            }
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        let why = match sources.iter().filter(|s| claim.get(s).is_some()).count() {
            0 => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            1 => "",
            _ => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
        };
        if !why.is_empty() {
            errors.push(FieldError::invalid(&at, printed(Some(claim)), why));
        }
        for source in sources.iter().filter(|s| claim.get(s).is_some()) {
            let n = claim.str_at(&[source]);
            each(errors, &at.child(source), n, name::dns1123_subdomain(n));
        }
    }
}

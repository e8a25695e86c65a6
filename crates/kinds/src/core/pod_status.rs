//! What a write to the status of a pod may not do.
// k8s: pkg/apis/core/validation/validation.go ValidatePodStatusUpdate

use std::net::IpAddr;

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::rules::{Errors, each, printed};

/// Everything wrong with a new status.
pub fn validate_update(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("status");
    for (i, c) in new.list_at(&["status", "conditions"]).iter().enumerate() {
        let kind = c.str_at(&["type"]);
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            // The path is upstream's.
            let at = Path::new("metadata").child("conditions").index(i).child("Type");
            each(errors, &at, kind, name::qualified_name(kind));
        }
    }
    let nominated = new.str_at(&["status", "nominatedNodeName"]);
    if !nominated.is_empty() && nominated != old.str_at(&["status", "nominatedNodeName"]) {
        each(errors, &path.child("nominatedNodeName"), nominated, name::dns1123_subdomain(nominated));
    }
    let policy = old.str_at(&["spec", "restartPolicy"]);
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        let policy = if list == "ephemeralContainerStatuses" { "Never" } else { policy };
        no_way_back(errors, (new, old), list, policy, &path.child(list));
    }
    addresses(errors, new.list_at(&["status", "podIPs"]), new, &path.child("podIPs"));
    let hosts = new.list_at(&["status", "hostIPs"]);
    let host_path = path.child("hostIPs");
    if let Some(first) = hosts.first() {
        let ip = first.str_at(&["ip"]);
        if ip != new.str_at(&["status", "hostIP"]) {
            let at = host_path.index(0).child("ip");
            errors.push(FieldError::invalid(&at, quoted(ip), "must be equal to `hostIP`"));
        }
    }
    addresses(errors, hosts, new, &host_path);
}

/// A container that has ended for good does not come back.
// k8s: pkg/apis/core/validation/validation.go ValidateContainerStateTransition
fn no_way_back(errors: &mut Errors, (new, old): (&Value, &Value), list: &str, policy: &str, path: &Path) {
    if policy == "Always" {
        return;
    }
    let may_restart = |name: &str| {
        let containers = ["containers", "initContainers"].iter().flat_map(|l| old.list_at(&["spec", l]));
        containers.filter(|c| c.str_at(&["name"]) == name).any(|c| {
            !matches!(c.str_at(&["restartPolicy"]), "" | "Never")
                || !c.list_at(&["restartPolicyRules"]).is_empty()
        })
    };
    for (i, was) in old.list_at(&["status", list]).iter().enumerate() {
        let Some(ended) = was.at(&["state", "terminated"]) else { continue };
        let failed = ended.int_at(&["exitCode"]).unwrap_or(0) != 0;
        let n = was.str_at(&["name"]);
        if (failed && policy == "OnFailure") || may_restart(n) {
            continue;
        }
        let is = new.list_at(&["status", list]).iter().find(|s| s.str_at(&["name"]) == n);
        if is.is_some_and(|s| s.at(&["state", "terminated"]).is_none()) {
            let why = "may not be transitioned to non-terminated state";
            errors.push(FieldError::forbidden(&path.index(i).child("state"), why));
        }
    }
}

/// One address of each family at most.
fn addresses(errors: &mut Errors, list: &[Value], pod: &Value, path: &Path) {
    for (i, a) in list.iter().enumerate() {
        let ip = a.str_at(&["ip"]);
        each(errors, &path.index(i), ip, name::ip(ip));
    }
    if list.len() < 2 {
        return;
    }
    let families: Vec<bool> =
        list.iter().filter_map(|a| a.str_at(&["ip"]).parse::<IpAddr>().ok().map(|ip| ip.is_ipv4())).collect();
    if list.len() > 2 || !(families.contains(&true) && families.contains(&false)) {
        let field = if path.as_str().ends_with("podIPs") { "podIPs" } else { "hostIPs" };
        let why = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(path, printed(pod.at(&["status", field])), why));
    }
    for (i, a) in list.iter().enumerate() {
        if list[..i].contains(a) {
            errors.push(FieldError::duplicate(&path.index(i), printed(Some(a))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn what_a_status_may_say() {
        let old = yaml(
            "{spec: {restartPolicy: Never}, status: {containerStatuses: [{name: c, state: {terminated: {exitCode: 1}}}]}}",
        );
        let table: &[(&str, &[&str])] = &[
            ("{podIPs: [{ip: 10.0.0.1}, {ip: '::1'}], hostIP: 1.1.1.1, hostIPs: [{ip: 1.1.1.1}]}", &[]),
            (
                "{podIPs: [{ip: x}], hostIPs: [{ip: 1.1.1.1}]}",
                &[
                    "status.podIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                    "status.hostIPs[0].ip: Invalid value: \"1.1.1.1\": must be equal to `hostIP`",
                ],
            ),
            (
                "{podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.1}]}",
                &[
                    "status.podIPs: Invalid value: [{\"ip\":\"10.0.0.1\"},{\"ip\":\"10.0.0.1\"}]: may specify no more than one IP for each IP family",
                    "status.podIPs[1]: Duplicate value: {\"ip\":\"10.0.0.1\"}",
                ],
            ),
            (
                "{containerStatuses: [{name: c, state: {running: {}}}]}",
                &[
                    "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
                ],
            ),
        ];
        for (status, want) in table {
            let mut new = old.clone();
            new.set_at(&["status"], yaml(status));
            let mut errors = Errors::new();
            validate_update(&mut errors, &new, &old);
            assert_eq!(texts(&errors), *want, "{status}");
        }
    }
}

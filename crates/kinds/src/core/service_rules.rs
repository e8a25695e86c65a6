//! What a Service must be, and what an update may not change.
// k8s: pkg/apis/core/validation/validation.go ValidateService, ValidateServiceUpdate

use std::net::IpAddr;

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use super::pod_spec::port_name_or_number;
use super::service::{is_external, needs_health_check};
use crate::rules::{Errors, each, labels, one_of, optional_one_of, printed, same};

const AFFINITY_MAX_SECONDS: i64 = 86400;
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
const ONCE: &str = "may not change once set";

fn is_headless(spec: &Value) -> bool {
    matches!(spec.list_at(&["clusterIPs"]), [one] if one.as_str() == Some("None"))
}

fn is_external_name(spec: &Value) -> bool {
    spec.str_at(&["type"]) == "ExternalName"
}

/// Everything wrong with a service.
#[must_use]
pub fn validate(service: &Value, spec: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let kind = spec.str_at(&["type"]);
    let list = spec.list_at(&["ports"]);
    topology(&mut errors, service);
    if list.is_empty() && !is_headless(spec) && !is_external_name(spec) {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(spec) => {
            let why = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), "\"None\"", why));
        }
        "ExternalName" => external_name(&mut errors, spec, &path),
        _ => {}
    }
    ports(&mut errors, list, &path.child("ports"));
    labels(&mut errors, spec.get("selector"), &path.child("selector"));
    affinity(&mut errors, spec, &path);
    errors.extend(cluster_ips(spec));
    for (i, ip) in spec.list_at(&["externalIPs"]).iter().enumerate() {
        let ip = ip.as_str().unwrap_or("");
        let at = path.child("externalIPs").index(i);
        let complaints = name::ip(ip);
        if complaints.is_empty() {
            super::endpoints::special_ip(&mut errors, ip, &at);
        }
        each(&mut errors, &at, ip, complaints);
    }
    one_of(&mut errors, spec, "type", &path, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    port_pairs(&mut errors, list, kind, &path.child("ports"));
    load_balancer(&mut errors, spec, &path);
    traffic(&mut errors, spec, &path);
    errors
}

fn topology(errors: &mut Errors, service: &Value) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    const MODE: &str = "service.kubernetes.io/topology-mode";
    let annotation = |key: &str| service.at(&["metadata", "annotations", key]).and_then(Value::as_str);
    if let (Some(mode), Some(hints)) = (annotation(MODE), annotation(HINTS))
        && mode != hints
    {
        let at = Path::new("metadata").child("annotations").key(MODE);
        let why = format!("must match annotations[{HINTS}] when both are specified");
        errors.push(FieldError::invalid(&at, quoted(mode), why));
    }
}

fn external_name(errors: &mut Errors, spec: &Value, path: &Path) {
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let set = spec.get(field).is_some_and(|v| v.as_list().is_none_or(|l| !l.is_empty()))
            || (field == "clusterIPs" && !spec.str_at(&["clusterIP"]).is_empty());
        if set {
            errors
                .push(FieldError::forbidden(&path.child(field), "may not be set for ExternalName services"));
        }
    }
    let external = spec.str_at(&["externalName"]);
    let external = external.strip_suffix('.').unwrap_or(external);
    if external.is_empty() {
        errors.push(FieldError::required(&path.child("externalName"), ""));
    } else {
        each(errors, &path.child("externalName"), external, name::dns1123_subdomain(external));
    }
}

fn ports(errors: &mut Errors, list: &[Value], path: &Path) {
    let mut names = Vec::new();
    for (i, p) in list.iter().enumerate() {
        let at = path.index(i);
        let n = p.str_at(&["name"]);
        if n.is_empty() && list.len() > 1 {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else if !n.is_empty() {
            each(errors, &at.child("name"), n, name::dns1123_label(n));
            if names.contains(&n) {
                errors.push(FieldError::duplicate(&at.child("name"), quoted(n)));
            }
            names.push(n);
        }
        let number = p.int_at(&["port"]).unwrap_or(0);
        for why in name::port_number(number) {
            errors.push(FieldError::invalid(&at.child("port"), number.to_string(), why));
        }
        one_of(errors, p, "protocol", &at, &["SCTP", "TCP", "UDP"]);
        port_name_or_number(errors, p.get("targetPort"), &at.child("targetPort"));
        if let Some(protocol) = p.get("appProtocol").and_then(Value::as_str) {
            each(errors, &at.child("appProtocol"), protocol, name::qualified_name(protocol));
        }
    }
}

fn affinity(errors: &mut Errors, spec: &Value, path: &Path) {
    one_of(errors, spec, "sessionAffinity", path, &["ClientIP", "None"]);
    let at = path.child("sessionAffinityConfig");
    let config = spec.get("sessionAffinityConfig");
    match spec.str_at(&["sessionAffinity"]) {
        "ClientIP" => {
            let seconds = config.and_then(|c| c.int_at(&["clientIP", "timeoutSeconds"])).unwrap_or(0);
            if !(1..=AFFINITY_MAX_SECONDS).contains(&seconds) {
                let at = at.child("clientIP").child("timeoutSeconds");
                let why = format!("must be greater than 0 and less than {AFFINITY_MAX_SECONDS}");
                errors.push(FieldError::invalid(&at, seconds.to_string(), why));
            }
        }
        "None" if config.is_some() => {
            errors.push(FieldError::forbidden(&at, "must not be set when session affinity is None"));
        }
        _ => {}
    }
}

/// Everything wrong with `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy`. The allocation of addresses
/// asks this first.
// k8s: pkg/apis/core/validation/validation.go ValidateServiceClusterIPsRelatedFields
#[must_use]
pub fn cluster_ips(spec: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    if is_external_name(spec) {
        return errors;
    }
    let path = Path::new("spec");
    let at = path.child("clusterIPs");
    let shown = printed(spec.get("clusterIPs"));
    let ips: Vec<&str> = spec.list_at(&["clusterIPs"]).iter().map(|v| v.as_str().unwrap_or("")).collect();
    match (spec.str_at(&["clusterIP"]), ips.first()) {
        ("", Some(_)) => {
            let why = "must be empty when `clusterIP` is not specified";
            errors.push(FieldError::invalid(&at, shown.clone(), why));
        }
        ("", None) => {}
        (_, None) => errors.push(FieldError::required(&at, "")),
        (ip, Some(first)) if ip != *first => {
            errors.push(FieldError::invalid(&at, shown.clone(), "first value must match `clusterIP`"));
        }
        _ => {}
    }
    let families: Vec<&str> =
        spec.list_at(&["ipFamilies"]).iter().map(|v| v.as_str().unwrap_or("")).collect();
    for (i, family) in families.iter().enumerate() {
        let at = path.child("ipFamilies").index(i);
        if !matches!(*family, "IPv4" | "IPv6") {
            errors.push(FieldError::not_supported(&at, family, &["IPv4", "IPv6"]));
        }
        if families[..i].contains(family) {
            errors.push(FieldError::duplicate(&at, quoted(family)));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    optional_one_of(&mut errors, spec, "ipFamilyPolicy", &path, &policies);
    let mut malformed = false;
    for (i, ip) in ips.iter().enumerate() {
        if i == 0 && *ip == "None" {
            if ips.len() > 1 {
                malformed = true;
                let why = "'None' must be the first and only value";
                errors.push(FieldError::invalid(&at, shown.clone(), why));
            }
            continue;
        }
        let complaints = name::ip(ip);
        malformed |= !complaints.is_empty();
        each(&mut errors, &at.index(i), ip, complaints);
    }
    if ips.len() > 2 {
        errors.push(FieldError::invalid(&at, shown.clone(), "may only hold up to 2 values"));
    }
    if malformed {
        return errors;
    }
    let is_v4: Vec<bool> =
        ips.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()).map(|ip| ip.is_ipv4()).collect();
    if ips.len() > 1 && !(is_v4.contains(&true) && is_v4.contains(&false)) {
        let why = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(&at, shown, why));
    }
    for (i, (family, v4)) in families.iter().zip(is_v4).enumerate() {
        if (*family == "IPv4" && !v4) || (*family == "IPv6" && v4) {
            let why = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            errors.push(FieldError::invalid(&at.index(i), quoted(ips[i]), why));
        }
    }
    errors
}

/// Pairs of port or node port and protocol are there once.
fn port_pairs(errors: &mut Errors, list: &[Value], kind: &str, path: &Path) {
    if kind == "ClusterIP" {
        for (i, _) in list.iter().enumerate().filter(|(_, p)| p.int_at(&["nodePort"]).unwrap_or(0) != 0) {
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(&path.index(i).child("nodePort"), why));
        }
    }
    let pair = |p: &Value, field: &str| (p.int_at(&[field]).unwrap_or(0), p.str_at(&["protocol"]).to_owned());
    for (i, p) in list.iter().enumerate() {
        let mine = pair(p, "nodePort");
        if mine.0 != 0 && list[..i].iter().any(|o| pair(o, "nodePort") == mine) {
            errors.push(FieldError::duplicate(&path.index(i).child("nodePort"), mine.0.to_string()));
        }
    }
    for (i, p) in list.iter().enumerate() {
        let mine = pair(p, "port");
        if list[..i].iter().any(|o| pair(o, "port") == mine) {
            // Upstream prints its internal type.
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                quoted(&mine.1),
                mine.0
            );
            errors.push(FieldError::duplicate(&path.index(i), shown));
        }
    }
}

fn load_balancer(errors: &mut Errors, spec: &Value, path: &Path) {
    let is = spec.str_at(&["type"]) == "LoadBalancer";
    let ranges = spec.list_at(&["loadBalancerSourceRanges"]);
    // The name is upstream's.
    let at = path.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && !is {
        errors.push(FieldError::forbidden(&at, ONLY_LOAD_BALANCER));
    }
    for (i, r) in ranges.iter().enumerate() {
        let r = r.as_str().unwrap_or("").trim();
        each(errors, &at.index(i), r, name::cidr(r));
    }
    if spec.get("allocateLoadBalancerNodePorts").is_some() && !is {
        errors.push(FieldError::forbidden(&path.child("allocateLoadBalancerNodePorts"), ONLY_LOAD_BALANCER));
    }
    let at = path.child("loadBalancerClass");
    match spec.get("loadBalancerClass").and_then(Value::as_str) {
        Some(class) if is => each(errors, &at, class, name::qualified_name(class)),
        Some(_) => errors.push(FieldError::forbidden(&at, ONLY_LOAD_BALANCER)),
        None => {}
    }
}

// k8s: pkg/apis/core/validation/validation.go validateServiceExternalTrafficPolicy
fn traffic(errors: &mut Errors, spec: &Value, path: &Path) {
    let policy = spec.str_at(&["externalTrafficPolicy"]);
    if is_external(spec) {
        one_of(errors, spec, "externalTrafficPolicy", path, &["Cluster", "Local"]);
    } else if !policy.is_empty() {
        let why = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(&path.child("externalTrafficPolicy"), quoted(policy), why));
    }
    let at = path.child("healthCheckNodePort");
    match (needs_health_check(spec), spec.int_at(&["healthCheckNodePort"]).unwrap_or(0)) {
        (true, 0) => errors.push(FieldError::required(&at, "")),
        (true, n) => {
            errors
                .extend(name::port_number(n).into_iter().map(|c| FieldError::invalid(&at, n.to_string(), c)));
        }
        (false, 0) => {}
        (false, n) => {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(FieldError::invalid(&at, n.to_string(), why));
        }
    }
    let at = path.child("internalTrafficPolicy");
    match spec.get("internalTrafficPolicy").and_then(Value::as_str) {
        None if !is_external_name(spec) => errors.push(FieldError::required(&at, "")),
        None | Some("Cluster" | "Local") => {}
        Some(other) => errors.push(FieldError::not_supported(&at, other, &["Cluster", "Local"])),
    }
    let known = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    optional_one_of(errors, spec, "trafficDistribution", path, &known);
}

/// What an update may not change.
#[must_use]
pub fn validate_update(after: &Value, before: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    if !is_external_name(after) && !is_external_name(before) {
        if !(is_headless(after) && is_headless(before)) {
            kept(&mut errors, after, before, "clusterIPs", "secondary clusterIP", &path);
        }
        if !is_headless(after) && !is_headless(before) {
            kept(&mut errors, after, before, "ipFamilies", "secondary ipFamily", &path);
        }
    }
    let both = |is: fn(&Value) -> bool| is(after) && is(before);
    let class = "loadBalancerClass";
    if both(|s| s.str_at(&["type"]) == "LoadBalancer") && !same(after.get(class), before.get(class)) {
        errors.push(FieldError::invalid(&path.child(class), printed(after.get(class)), ONCE));
    }
    let port = "healthCheckNodePort";
    if both(needs_health_check) && !same(after.get(port), before.get(port)) {
        errors.push(FieldError::forbidden(&path.child(port), "field is immutable"));
    }
    errors
}

/// The first value stays; a second one comes and goes only with the policy.
// k8s: pkg/apis/core/validation/validation.go validateUpgradeDowngradeClusterIPs
fn kept(errors: &mut Errors, after: &Value, before: &Value, field: &str, second: &str, path: &Path) {
    let (new, old) = (after.list_at(&[field]), before.list_at(&[field]));
    let at = path.child(field);
    let shown = printed(after.get(field));
    if new.len() == old.len() {
        for (i, _) in old.iter().zip(new).enumerate().filter(|(_, (o, n))| o != n) {
            errors.push(FieldError::invalid(&at.index(i), shown.clone(), ONCE));
        }
        return;
    }
    if let (Some(o), Some(n)) = (old.first(), new.first())
        && o != n
    {
        errors.push(FieldError::invalid(&at.index(0), shown.clone(), ONCE));
    }
    if new.is_empty() {
        let primary = second.replace("secondary", "primary");
        errors.push(FieldError::invalid(&at.index(0), shown, format!("{primary} can not be unset")));
    }
    let policy = after.str_at(&["ipFamilyPolicy"]);
    if old.len() > new.len() && new.len() == 1 && policy != "SingleStack" {
        let why = format!("must be set to 'SingleStack' when releasing the {second}");
        errors.push(FieldError::invalid(&path.child("ipFamilyPolicy"), quoted(policy), why));
    }
}

/// Everything wrong with a new status.
// k8s: pkg/apis/core/validation/validation.go ValidateLoadBalancerStatus
#[must_use]
pub fn validate_status(service: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let list = service.list_at(&["status", "loadBalancer", "ingress"]);
    if !list.is_empty() && service.str_at(&["spec", "type"]) != "LoadBalancer" {
        errors.push(FieldError::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'"));
        return errors;
    }
    for (i, ingress) in list.iter().enumerate() {
        let at = path.index(i);
        let (ip, host) = (ingress.str_at(&["ip"]), ingress.str_at(&["hostname"]));
        if !ip.is_empty() {
            each(&mut errors, &at.child("ip"), ip, name::ip(ip));
        }
        match (ip.is_empty(), ingress.get("ipMode").and_then(Value::as_str)) {
            (false, None) => {
                errors.push(FieldError::required(&at.child("ipMode"), "must be specified when `ip` is set"));
            }
            (true, Some(_)) => {
                let why = "may not be specified when `ip` is not set";
                errors.push(FieldError::forbidden(&at.child("ipMode"), why));
            }
            _ => optional_one_of(&mut errors, ingress, "ipMode", &at, &["Proxy", "VIP"]),
        }
        if !host.is_empty() {
            each(&mut errors, &at.child("hostname"), host, name::dns1123_subdomain(host));
            if host.parse::<IpAddr>().is_ok() {
                let why = "must be a DNS name, not an IP address";
                errors.push(FieldError::invalid(&at.child("hostname"), quoted(host), why));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    fn service(spec: &str) -> Value {
        let mut o = yaml(&format!("metadata: {{name: s}}\nspec: {spec}"));
        super::super::service::KIND.strategy().default_fields(&mut o);
        o
    }

    #[test]
    fn refuses() {
        let table: &[(&str, &[&str])] = &[
            ("{clusterIP: None, clusterIPs: [None]}", &[]),
            ("{}", &["spec.ports: Required value"]),
            (
                "{ports: [{port: 0}, {name: a, port: 80, nodePort: 1}]}",
                &[
                    "spec.ports[0].name: Required value",
                    "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                    "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
                    "spec.ports[1].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
                ],
            ),
            ("{type: ExternalName}", &["spec.externalName: Required value"]),
            (
                "{type: ExternalName, externalName: a.b., clusterIPs: [1.1.1.1], ipFamilyPolicy: SingleStack}",
                &[
                    "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
                    "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
                ],
            ),
            (
                "{type: Magic, internalTrafficPolicy: Cluster, ports: [{port: 1}]}",
                &[
                    "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
                ],
            ),
            (
                "{ports: [{port: 1}], sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}}",
                &[
                    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400",
                ],
            ),
            (
                "{ports: [{port: 1}], clusterIP: 10.0.0.1, clusterIPs: [10.0.0.2], ipFamilies: [IPv6, IPv6, X], ipFamilyPolicy: Two}",
                &[
                    "spec.clusterIPs: Invalid value: [\"10.0.0.2\"]: first value must match `clusterIP`",
                    "spec.ipFamilies[1]: Duplicate value: \"IPv6\"",
                    "spec.ipFamilies[2]: Unsupported value: \"X\": supported values: \"IPv4\", \"IPv6\"",
                    "spec.ipFamilyPolicy: Unsupported value: \"Two\": supported values: \"PreferDualStack\", \"RequireDualStack\", \"SingleStack\"",
                    "spec.clusterIPs[0]: Invalid value: \"10.0.0.2\": expected an IPv6 value as indicated by `ipFamilies[0]`",
                ],
            ),
            (
                "{ports: [{name: a, port: 1}, {name: b, port: 1}], externalTrafficPolicy: Local, healthCheckNodePort: 5, loadBalancerClass: a, loadBalancerSourceRanges: [x], trafficDistribution: Far}",
                &[
                    "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":1,\"TargetPort\":0,\"NodePort\":0}",
                    "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
                    "spec.LoadBalancerSourceRanges[0]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                    "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
                    "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
                    "spec.healthCheckNodePort: Invalid value: 5: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
                    "spec.trafficDistribution: Unsupported value: \"Far\": supported values: \"PreferClose\", \"PreferSameZone\", \"PreferSameNode\"",
                ],
            ),
            (
                "{ports: [{port: 1}], externalIPs: [127.0.0.1]}",
                &[
                    "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                ],
            ),
        ];
        for (spec, want) in table {
            let o = service(spec);
            assert_eq!(texts(&validate(&o, o.get("spec").unwrap())), *want, "{spec}");
        }
    }

    #[test]
    fn updates() {
        let old = yaml("{type: ClusterIP, clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ipFamilies: [IPv4]}");
        let table: &[(&str, &[&str])] = &[
            (
                "{clusterIPs: [10.0.0.2], ipFamilies: [IPv4]}",
                &["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"],
            ),
            (
                "{clusterIPs: [], ipFamilies: [IPv4]}",
                &["spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset"],
            ),
            ("{type: ExternalName}", &[]),
        ];
        for (spec, want) in table {
            assert_eq!(texts(&validate_update(&yaml(spec), &old)), *want, "{spec}");
        }
        let status = yaml(
            "{spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: x, ipMode: VIP}, {hostname: 1.1.1.1}]}}}",
        );
        assert_eq!(
            texts(&validate_status(&status)),
            [
                "status.loadBalancer.ingress[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                "status.loadBalancer.ingress[1].hostname: Invalid value: \"1.1.1.1\": must be a DNS name, not an IP address",
            ]
        );
    }
}

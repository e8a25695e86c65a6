//! What a write of a Service is answered with besides the object.
// k8s: pkg/api/service/warnings.go GetWarningsForService, pkg/registry/core/service/strategy.go

use meta::Path;
use schema::Value;

use crate::warnings::{self, Write};

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";

/// In upstream's order.
#[must_use]
pub fn warnings(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if !w.is_whole() {
        warnings::load_balancer_ips(&mut out, w.new);
        return out;
    }
    if w.new.at(&["metadata", "annotations", HINTS]).is_some() {
        out.push(format!("annotation {HINTS} is deprecated, please use {MODE} instead"));
    }
    if let Some(spec) = w.new.get("spec") {
        of_spec(&mut out, spec);
    }
    out
}

fn of_spec(out: &mut Vec<String>, spec: &Value) {
    let path = Path::new("spec");
    let has = |field: &str| !spec.str_at(&[field]).is_empty();
    let external_ips = !spec.list_at(&["externalIPs"]).is_empty();
    let external_name = spec.str_at(&["type"]) == "ExternalName";
    let addressless = spec.str_at(&["clusterIP"]) == "None";
    let headless = addressless && spec.str_at(&["type"]) == "ClusterIP";
    if !addressless && !external_name {
        ips(out, spec, "clusterIPs", &path);
    }
    let affine = spec.str_at(&["sessionAffinity"]) != "None";
    for (ignored, field) in [
        (has("loadBalancerIP"), "loadBalancerIP"),
        (external_ips, "externalIPs"),
        (affine, "SessionAffinity"),
    ] {
        if headless && ignored {
            out.push(format!("spec.{field} is ignored for headless services"));
        }
    }
    ips(out, spec, "externalIPs", &path);
    if external_ips && !headless && !external_name {
        out.push(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned(),
        );
    }
    warnings::ip(out, &path.child("loadBalancerIP"), spec.str_at(&["loadBalancerIP"]));
    for (i, value) in warnings::texts(spec, &["loadBalancerSourceRanges"]) {
        warnings::cidr(out, &path.child("loadBalancerSourceRanges").index(i), value);
    }
    if external_name && external_ips {
        out.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !external_name && has("externalName") {
        out.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.str_at(&["trafficDistribution"]) == "PreferClose" {
        let instead = "\"PreferClose\" is deprecated; use \"PreferSameZone\"";
        out.push(format!("spec.trafficDistribution: {instead}"));
    }
}

fn ips(out: &mut Vec<String>, spec: &Value, field: &str, path: &Path) {
    for (i, value) in warnings::texts(spec, &[field]) {
        warnings::ip(out, &path.child(field).index(i), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Operation;
    use crate::testing::yaml;

    // k8s: pkg/api/service/warnings_test.go
    #[test]
    fn what_a_service_does_not_heed_is_named() {
        let table: &[(&str, &[&str])] = &[
            (
                "{spec: {type: ClusterIP, clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], sessionAffinity: ClientIP}}",
                &[],
            ),
            (
                "{spec: {type: ClusterIP, clusterIP: None, clusterIPs: [None], sessionAffinity: ClientIP, loadBalancerIP: 1.2.3.4, externalIPs: [1.2.3.4]}}",
                &[
                    "spec.loadBalancerIP is ignored for headless services",
                    "spec.externalIPs is ignored for headless services",
                    "spec.SessionAffinity is ignored for headless services",
                ],
            ),
            (
                "{spec: {type: ExternalName, externalName: a.b, externalIPs: [1.2.3.4], sessionAffinity: None}}",
                &["spec.externalIPs is ignored when spec.type is \"ExternalName\""],
            ),
            (
                "{metadata: {annotations: {service.kubernetes.io/topology-aware-hints: Auto}}, spec: {type: LoadBalancer, externalName: a.b, externalIPs: ['2001:DB8::1'], loadBalancerSourceRanges: [10.0.0.1/8], trafficDistribution: PreferClose}}",
                &[
                    "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead",
                    "spec.externalIPs[0]: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical format (\"2001:db8::1\")",
                    "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
                    "spec.loadBalancerSourceRanges[0]: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)",
                    "spec.externalName is ignored when spec.type is not \"ExternalName\"",
                    "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
                ],
            ),
        ];
        for (text, want) in table {
            let new = yaml(text);
            for (operation, old) in [(Operation::Create, None), (Operation::Update, Some(&new))] {
                assert_eq!(warnings(&Write { new: &new, old, operation }), *want, "{text}");
            }
        }
        let new = yaml("{status: {loadBalancer: {ingress: [{hostname: a.b}, {ip: '::FFFF'}]}}}");
        let w = Write { new: &new, old: Some(&new), operation: Operation::UpdateStatus };
        let want = "status.loadBalancer.ingress[1]: IPv6 address \"::FFFF\" should be in RFC 5952 canonical format (\"::ffff\")";
        assert_eq!(warnings(&w), [want]);
    }
}

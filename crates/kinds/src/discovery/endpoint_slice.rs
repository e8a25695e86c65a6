//! EndpointSlice: a part of the addresses behind a service.
// k8s: pkg/apis/discovery/validation/validation.go ValidateEndpointSlice

use meta::{FieldError, Path, name};
use schema::Value;

use crate::columns::{AGE, NAME, text, text_at};
use crate::core::endpoints::{first_few, special_ip};
use crate::defaults::{self, each as each_of};
use crate::kind::{Cell, Column, Context, Kind, Operation, Strategy};
use crate::rules::{Errors, each, immutable, labels};
use crate::warnings::{self, Write};

/// `discovery.k8s.io/v1` EndpointSlice.
pub static KIND: Kind =
    Kind::namespaced_kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice")
        .with_columns(COLUMNS)
        .with_warnings(told)
        .with_strategy(&EndpointSliceStrategy)
        .with_generation();

/// Limits of one slice.
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20000;
const MAX_TOPOLOGY: usize = 16;
const MAX_ZONE_HINTS: usize = 8;
const MAX_NODE_HINTS: usize = 8;

const COLUMNS: &[Column] = &[
    NAME,
    text("AddressType", "Family of the addresses.", |o, _| text_at(o, &["addressType"])),
    text("Ports", "Ports of the endpoints.", |o, _| Cell::Text(ports(o))),
    text("Endpoints", "Addresses of the endpoints.", |o, _| Cell::Text(endpoints(o))),
    AGE,
];

fn ports(o: &Value) -> String {
    let one = |p: &Value| p.int_at(&["port"]).map_or_else(|| "*".to_owned(), |n| n.to_string());
    let all: Vec<String> = o.list_at(&["ports"]).iter().map(one).collect();
    if all.is_empty() { "<unset>".to_owned() } else { first_few(&all) }
}

fn endpoints(o: &Value) -> String {
    let addresses = o.list_at(&["endpoints"]).iter().flat_map(|e| e.list_at(&["addresses"]));
    let all: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
    if all.is_empty() { "<unset>".to_owned() } else { first_few(&all) }
}

struct EndpointSliceStrategy;

impl Strategy for EndpointSliceStrategy {
    fn default_fields(&self, o: &mut Value) {
        each_of(o, &["ports"], |p| {
            defaults::value(p, "name", "");
            defaults::text(p, "protocol", "TCP");
        });
    }

    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}

    fn allow_unconditional_update(&self) -> bool {
        true
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        ["addressType", "endpoints", "ports"].iter().any(|f| new.get(f) != old.get(f))
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let family = o.str_at(&["addressType"]);
        let at = Path::new("addressType");
        let supported = ["FQDN", "IPv4", "IPv6"];
        if family.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !supported.contains(&family) {
            errors.push(FieldError::not_supported(&at, family, &supported));
        }
        let list = o.list_at(&["endpoints"]);
        let path = Path::new("endpoints");
        if list.len() > MAX_ENDPOINTS {
            errors.push(FieldError::too_many(&path, list.len(), MAX_ENDPOINTS));
            return errors;
        }
        for (i, e) in list.iter().enumerate() {
            endpoint(&mut errors, e, family, &path.index(i));
        }
        ports_valid(&mut errors, o.list_at(&["ports"]));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let at = Path::new("addressType");
        immutable(&mut errors, new.get("addressType"), old.get("addressType"), &at);
        errors
    }
}

fn endpoint(errors: &mut Errors, e: &Value, family: &str, path: &Path) {
    let addresses = e.list_at(&["addresses"]);
    let at = path.child("addresses");
    if addresses.is_empty() {
        errors.push(FieldError::required(&at, "must contain at least 1 address"));
    } else if addresses.len() > MAX_ADDRESSES {
        errors.push(FieldError::too_many(&at, addresses.len(), MAX_ADDRESSES));
    }
    for (i, a) in addresses.iter().enumerate() {
        let a = a.as_str().unwrap_or("");
        let at = at.index(i);
        match family {
            "IPv4" | "IPv6" => {
                let complaints = if family == "IPv4" { name::ipv4(a) } else { name::ipv6(a) };
                each(errors, &at, a, complaints);
                special_ip(errors, a, &at);
            }
            "FQDN" => fqdn(errors, a, &at),
            _ => {}
        }
    }
    if let Some(node) = e.get("nodeName").and_then(Value::as_str) {
        each(errors, &path.child("nodeName"), node, name::dns1123_subdomain(node));
    }
    let topology = e.get("deprecatedTopology").and_then(Value::as_map);
    let at = path.child("deprecatedTopology");
    if let Some(n) = topology.map(|t| t.len()).filter(|n| *n > MAX_TOPOLOGY) {
        errors.push(FieldError::too_many(&at, n, MAX_TOPOLOGY));
    }
    labels(errors, e.get("deprecatedTopology"), &at);
    if let Some(hostname) = e.get("hostname").and_then(Value::as_str) {
        each(errors, &path.child("hostname"), hostname, name::dns1123_label(hostname));
    }
    for (field, limit) in [("forZones", MAX_ZONE_HINTS), ("forNodes", MAX_NODE_HINTS)] {
        hints(errors, e.list_at(&["hints", field]), limit, &path.child("hints").child(field));
    }
}

fn hints(errors: &mut Errors, list: &[Value], limit: usize, path: &Path) {
    if list.len() > limit {
        errors.push(FieldError::too_many(path, list.len(), limit));
        return;
    }
    for (i, hint) in list.iter().enumerate() {
        let n = hint.str_at(&["name"]);
        let at = path.index(i).child("name");
        if list[..i].iter().any(|h| h.str_at(&["name"]) == n) {
            errors.push(FieldError::duplicate(&at, meta::field::quoted(n)));
        }
        each(errors, &at, n, name::qualified_name(n));
    }
}

// k8s: staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go IsFullyQualifiedDomainName
fn fqdn(errors: &mut Errors, text: &str, path: &Path) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut bad = |value: &str, why: String| {
        errors.push(FieldError::invalid(path, meta::field::quoted(value), why));
    };
    let complaints = name::dns1123_subdomain(text);
    if !complaints.is_empty() {
        return bad(text, complaints.join(","));
    }
    if !text.contains('.') {
        return bad(text, "should be a domain with at least two segments separated by dots".to_owned());
    }
    for label in text.split('.') {
        let complaints = name::dns1123_label(label);
        if !complaints.is_empty() {
            bad(label, complaints.join(","));
        }
    }
}

fn ports_valid(errors: &mut Errors, list: &[Value]) {
    let path = Path::new("ports");
    if list.len() > MAX_PORTS {
        errors.push(FieldError::too_many(&path, list.len(), MAX_PORTS));
        return;
    }
    let mut names = Vec::new();
    for (i, p) in list.iter().enumerate() {
        let at = path.index(i);
        let n = p.str_at(&["name"]);
        if !n.is_empty() {
            each(errors, &at.child("name"), n, name::dns1123_label(n));
        }
        if names.contains(&n) {
            errors.push(FieldError::duplicate(&at.child("name"), meta::field::quoted(n)));
        }
        names.push(n);
        let supported = ["SCTP", "TCP", "UDP"];
        let protocol = p.str_at(&["protocol"]);
        if !supported.contains(&protocol) {
            errors.push(FieldError::not_supported(&at.child("protocol"), protocol, &supported));
        }
        if let Some(n) = p.int_at(&["port"]) {
            for why in name::port_number(n) {
                errors.push(FieldError::invalid(&at.child("port"), n.to_string(), why));
            }
        }
        if let Some(protocol) = p.get("appProtocol").and_then(Value::as_str) {
            each(errors, &at.child("appProtocol"), protocol, name::qualified_name(protocol));
        }
    }
}

// k8s: pkg/registry/discovery/endpointslice/strategy.go WarningsOnCreate, WarningsOnUpdate
fn told(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if w.creates() && w.new.str_at(&["addressType"]) == "FQDN" {
        out.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let by = w.new.str_at(&["metadata", "labels", "endpointslice.kubernetes.io/managed-by"]);
    if ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"].contains(&by) {
        return out;
    }
    for (i, endpoint) in w.new.list_at(&["endpoints"]).iter().enumerate() {
        let path = Path::new("endpoints").index(i).child("addresses");
        for (n, address) in warnings::texts(endpoint, &["addresses"]) {
            warnings::ip(&mut out, &path.index(n), address);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{row, texts, yaml};

    #[test]
    fn rows_and_rules() {
        let mut o = yaml(
            "metadata: {name: e}\naddressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]\nports: [{port: 80}]",
        );
        EndpointSliceStrategy.default_fields(&mut o);
        assert_eq!(texts(&EndpointSliceStrategy.validate(&o)), Vec::<String>::new());
        let cells: Vec<String> = row(&KIND, &o, "2026-01-01T00:00:00Z").into_iter().map(|c| c.1).collect();
        assert_eq!(cells, ["e", "IPv4", "80", "10.0.0.1", "<unknown>"]);
        let bad = yaml(
            "addressType: IPv4\nendpoints: [{addresses: [169.254.0.1]}, {addresses: [], hints: {forZones: [{name: a}, {name: a}]}}]",
        );
        assert_eq!(
            texts(&EndpointSliceStrategy.validate(&bad)),
            [
                "endpoints[0].addresses[0]: Invalid value: \"169.254.0.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)",
                "endpoints[1].addresses: Required value: must contain at least 1 address",
                "endpoints[1].hints.forZones[1].name: Duplicate value: \"a\"",
            ]
        );
        let names = yaml("addressType: FQDN\nendpoints: [{addresses: [a.b., a]}]");
        assert_eq!(
            texts(&EndpointSliceStrategy.validate(&names)),
            [
                "endpoints[0].addresses[1]: Invalid value: \"a\": should be a domain with at least two segments separated by dots"
            ]
        );
        let bad = yaml("addressType: IPv6\nendpoints: [{addresses: [10.0.0.1]}, {addresses: []}]");
        assert_eq!(
            texts(&EndpointSliceStrategy.validate(&bad)),
            [
                "endpoints[0].addresses[0]: Invalid value: \"10.0.0.1\": must be a valid IPv6 address",
                "endpoints[1].addresses: Required value: must contain at least 1 address",
            ]
        );
    }
}

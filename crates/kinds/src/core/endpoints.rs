//! Endpoints: the addresses behind a service, all in one object.
// k8s: pkg/apis/core/validation/validation.go ValidateEndpoints

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::defaults::{self, each as each_of};
use crate::kind::{Cell, Column, Context, Kind, Operation, Strategy};
use crate::rules::{Errors, each, one_of};
use crate::warnings::{self, Write};

/// `v1` Endpoints.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Endpoints", "endpoints", "endpoints")
    .with_short_names(&["ep"])
    .with_deprecation("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
    .with_columns(COLUMNS)
    .with_warnings(told)
    .with_strategy(&EndpointsStrategy);

const COLUMNS: &[Column] =
    &[NAME, text("Endpoints", "Addresses with ports.", |o, _| Cell::Text(endpoints(o))), AGE];

const SHOWN: usize = 3;

// k8s: pkg/printers/internalversion/printers.go formatEndpoints
fn endpoints(o: &Value) -> String {
    let subsets = o.list_at(&["subsets"]);
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut all = Vec::new();
    for s in subsets {
        let addresses = s.list_at(&["addresses"]);
        let ports = s.list_at(&["ports"]);
        if ports.is_empty() {
            all.extend(addresses.iter().map(|a| a.str_at(&["ip"]).to_owned()));
        }
        for p in ports {
            let n = p.int_at(&["port"]).unwrap_or(0);
            all.extend(addresses.iter().map(|a| host_port(a.str_at(&["ip"]), n)));
        }
    }
    first_few(&all)
}

fn host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// The first three of a list, and how many more there are.
pub(crate) fn first_few(all: &[String]) -> String {
    let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    if all.len() > SHOWN { format!("{shown} + {} more...", all.len() - SHOWN) } else { shown }
}

struct EndpointsStrategy;

impl Strategy for EndpointsStrategy {
    fn default_fields(&self, o: &mut Value) {
        each_of(o, &["subsets"], |s| each_of(s, &["ports"], |p| defaults::text(p, "protocol", "TCP")));
    }

    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        for (i, s) in o.list_at(&["subsets"]).iter().enumerate() {
            let at = Path::new("subsets").index(i);
            let (ready, other) = (s.list_at(&["addresses"]), s.list_at(&["notReadyAddresses"]));
            if ready.is_empty() && other.is_empty() {
                let why = "must specify `addresses` or `notReadyAddresses`";
                errors.push(FieldError::required(&at, why));
            }
            for (field, list) in [("addresses", ready), ("notReadyAddresses", other)] {
                for (j, a) in list.iter().enumerate() {
                    address(&mut errors, a, &at.child(field).index(j));
                }
            }
            let ports = s.list_at(&["ports"]);
            for (j, p) in ports.iter().enumerate() {
                port(&mut errors, p, ports.len() > 1, &at.child("ports").index(j));
            }
        }
        errors
    }
}

fn address(errors: &mut Errors, a: &Value, path: &Path) {
    let ip = a.str_at(&["ip"]);
    each(errors, &path.child("ip"), ip, name::ip(ip));
    let hostname = a.str_at(&["hostname"]);
    if !hostname.is_empty() {
        each(errors, &path.child("hostname"), hostname, name::dns1123_label(hostname));
    }
    if let Some(node) = a.get("nodeName").and_then(Value::as_str) {
        each(errors, &path.child("nodeName"), node, name::dns1123_subdomain(node));
    }
    special_ip(errors, ip, &path.child("ip"));
}

/// Addresses that no endpoint and no external address may have.
// k8s: pkg/apis/core/validation/validation.go ValidateNonSpecialIP
pub(crate) fn special_ip(errors: &mut Errors, text: &str, path: &Path) {
    let Ok(ip) = text.parse::<std::net::IpAddr>() else {
        errors.push(FieldError::invalid(path, quoted(text), "must be a valid IP address"));
        return;
    };
    let (unicast, multicast) = match ip {
        std::net::IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        std::net::IpAddr::V6(v6) => {
            (v6.segments()[0] & 0xffc0 == 0xfe80, v6.segments()[0] & 0xff0f == 0xff02)
        }
    };
    let unspecified = format!("may not be unspecified ({text})");
    for (is, why) in [
        (ip.is_unspecified(), unspecified.as_str()),
        (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (unicast, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ] {
        if is {
            errors.push(FieldError::invalid(path, quoted(text), why));
        }
    }
}

fn port(errors: &mut Errors, p: &Value, name_required: bool, path: &Path) {
    let n = p.str_at(&["name"]);
    if n.is_empty() && name_required {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else if !n.is_empty() {
        each(errors, &path.child("name"), n, name::dns1123_label(n));
    }
    let number = p.int_at(&["port"]).unwrap_or(0);
    for why in name::port_number(number) {
        errors.push(FieldError::invalid(&path.child("port"), number.to_string(), why));
    }
    one_of(errors, p, "protocol", path, &["SCTP", "TCP", "UDP"]);
    if let Some(protocol) = p.get("appProtocol").and_then(Value::as_str) {
        each(errors, &path.child("appProtocol"), protocol, name::qualified_name(protocol));
    }
}

// k8s: pkg/registry/core/endpoint/strategy.go endpointsWarnings
fn told(w: &Write<'_>) -> Vec<String> {
    let mut out = Vec::new();
    if w.new.str_at(&["metadata", "labels", "endpoints.kubernetes.io/managed-by"]) == "endpoint-controller" {
        return out;
    }
    for (i, subset) in w.new.list_at(&["subsets"]).iter().enumerate() {
        for field in ["addresses", "notReadyAddresses"] {
            let path = Path::new("subsets").index(i).child(field);
            for (n, address) in subset.list_at(&[field]).iter().enumerate() {
                warnings::ip(&mut out, &path.index(n).child("ip"), address.str_at(&["ip"]));
            }
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
        let o = yaml(
            "metadata: {name: e}\nsubsets: [{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], ports: [{port: 80}, {port: 81}]}]",
        );
        assert_eq!(
            row(&KIND, &o, "2026-01-01T00:00:00Z")[1].1,
            "10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more..."
        );
        let bad = yaml(
            "subsets: [{}, {addresses: [{ip: 127.0.0.1}, {ip: x, nodeName: A}, {ip: '::'}], ports: [{port: 0, protocol: TCP, appProtocol: '/'}]}]",
        );
        let e = texts(&EndpointsStrategy.validate(&bad));
        assert_eq!(
            e[..2],
            [
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
                "subsets[1].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ]
        );
        assert!(e[3].starts_with("subsets[1].addresses[1].nodeName: Invalid value: \"A\""), "{e:?}");
        assert_eq!(e[4], "subsets[1].addresses[1].ip: Invalid value: \"x\": must be a valid IP address");
        assert_eq!(e[5], "subsets[1].addresses[2].ip: Invalid value: \"::\": may not be unspecified (::)");
        assert_eq!(
            e[6],
            "subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"
        );
        assert!(e[7].starts_with("subsets[1].ports[0].appProtocol: Invalid value: \"/\""), "{e:?}");
    }
}

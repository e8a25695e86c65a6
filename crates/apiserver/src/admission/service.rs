//! Addresses and ports of Services: given out on create and when the type changes, kept otherwise.
//! IPv4 only.
// k8s: pkg/registry/core/service/storage/alloc.go

use std::net::Ipv4Addr;

use meta::{FieldError, Path, Status};
use schema::Value;

use crate::object;
use crate::server::Call;
use crate::service::{Refusal, Reservation};

/// Completes a new Service.
pub(crate) fn create(call: &Call<'_>, service: &mut Value, _dry_run: bool) -> Result<Reservation, Status> {
    let mut held = call.server.services.reservation();
    let mut errors = Vec::new();
    families(service);
    addresses(call, service, &mut held, &mut errors);
    ports(call, service, None, &mut held, &mut errors);
    refuse(call, service, errors, held)
}

/// Keeps addresses and ports that stay, gives out new ones, drops what the type no longer has.
pub(crate) fn update(call: &Call<'_>, new: &mut Value, old: &Value) -> Result<Reservation, Status> {
    let mut held = call.server.services.reservation();
    let mut errors = Vec::new();
    let external = |v: &Value| v.str_at(&["spec", "type"]) == "ExternalName";
    match (external(old), external(new)) {
        (false, false) => keep_addresses(new, old),
        (_, true) => {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if new.at(&["spec", field]) == old.at(&["spec", field]) {
                    new.remove_at(&["spec", field]);
                }
            }
        }
        (true, false) => {
            families(new);
            addresses(call, new, &mut held, &mut errors);
        }
    }
    let had_ports = has_node_ports(old);
    if had_ports && !has_node_ports(new) {
        drop_same_node_ports(new, old);
    }
    ports(call, new, Some(old), &mut held, &mut errors);
    refuse(call, new, errors, held)
}

fn refuse(
    call: &Call<'_>,
    service: &Value,
    errors: Vec<FieldError>,
    held: Reservation,
) -> Result<Reservation, Status> {
    if errors.is_empty() {
        return Ok(held);
    }
    Err(Status::invalid(&call.resource.gvk, object::text(service, "name"), &errors))
}

fn kind_of(service: &Value) -> &str {
    match service.str_at(&["spec", "type"]) {
        "" => "ClusterIP",
        t => t,
    }
}

fn has_node_ports(service: &Value) -> bool {
    match kind_of(service) {
        "NodePort" => true,
        "LoadBalancer" => service.bool_at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(false),
        _ => false,
    }
}

fn families(service: &mut Value) {
    if kind_of(service) == "ExternalName" {
        return;
    }
    if service.at(&["spec", "ipFamilyPolicy"]).is_none() {
        service.set_at(&["spec", "ipFamilyPolicy"], "SingleStack");
    }
    if service.list_at(&["spec", "ipFamilies"]).is_empty() {
        service.set_at(&["spec", "ipFamilies"], vec![Value::from("IPv4")]);
    }
}

fn addresses(call: &Call<'_>, service: &mut Value, held: &mut Reservation, errors: &mut Vec<FieldError>) {
    if kind_of(service) == "ExternalName" {
        return;
    }
    let spec = Path::new("spec");
    if service.list_at(&["spec", "ipFamilies"]).iter().any(|f| f.as_str() != Some("IPv4")) {
        let why = "not configured on this cluster";
        errors.push(FieldError::invalid(&spec.child("ipFamilies").index(0), "\"IPv6\"", why));
        return;
    }
    if service.str_at(&["spec", "ipFamilyPolicy"]) == "RequireDualStack" {
        let why = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid(&spec.child("ipFamilyPolicy"), "\"RequireDualStack\"", why));
        return;
    }
    let first =
        service.list_at(&["spec", "clusterIPs"]).first().and_then(Value::as_str).unwrap_or("").to_owned();
    let given = match service.str_at(&["spec", "clusterIP"]) {
        "" => first,
        ip => ip.to_owned(),
    };
    if given == "None" {
        set_address(service, "None");
        return;
    }
    let wanted: Option<Ipv4Addr> = match given.as_str() {
        "" => None,
        text => match text.parse() {
            Ok(ip) => Some(ip),
            // Not an address: validation says so.
            Err(_) => return,
        },
    };
    let random = call.server.config.entropy.next_u64();
    match call.server.services.address(held, wanted, random) {
        Ok(ip) => set_address(service, &ip.to_string()),
        Err(why) => {
            let field = spec.child("clusterIPs");
            let shown = format!("[]string{{{}}}", meta::field::quoted(&given));
            errors.push(FieldError::invalid(&field, shown, address_text(call, why, &given)));
        }
    }
}

fn address_text(call: &Call<'_>, why: Refusal, given: &str) -> String {
    match why {
        Refusal::Taken => format!("failed to allocate IP {given}: provided IP is already allocated"),
        Refusal::OutOfRange => format!(
            "failed to allocate IP {given}: the provided IP ({given}) is not in the valid range. The range of valid IPs is {}",
            call.server.services.cidr()
        ),
        Refusal::Exhausted => "failed to allocate a serviceIP: range is full".to_owned(),
    }
}

fn set_address(service: &mut Value, text: &str) {
    service.set_at(&["spec", "clusterIP"], text);
    service.set_at(&["spec", "clusterIPs"], vec![Value::from(text)]);
}

/// Fields that an update may leave out are taken over; a change of them is left to validation.
fn keep_addresses(new: &mut Value, old: &Value) {
    let dropped = |v: &Value| v.str_at(&["spec", "clusterIP"]).is_empty();
    if dropped(new) && new.list_at(&["spec", "clusterIPs"]).is_empty() {
        for field in ["clusterIP", "clusterIPs"] {
            if let Some(v) = old.at(&["spec", field]).cloned() {
                new.set_at(&["spec", field], v);
            }
        }
    } else if dropped(new) {
        let first = new.list_at(&["spec", "clusterIPs"]).first().cloned();
        new.set_at(&["spec", "clusterIP"], first.unwrap_or_default());
    } else if new.list_at(&["spec", "clusterIPs"]).is_empty() {
        let ip = new.str_at(&["spec", "clusterIP"]).to_owned();
        new.set_at(&["spec", "clusterIPs"], vec![Value::from(ip)]);
    }
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        if new.at(&["spec", field]).is_none()
            && let Some(v) = old.at(&["spec", field]).cloned()
        {
            new.set_at(&["spec", field], v);
        }
    }
}

/// A type without node ports loses those that were given before and not chosen anew.
fn drop_same_node_ports(new: &mut Value, old: &Value) {
    let before: Vec<i64> =
        old.list_at(&["spec", "ports"]).iter().filter_map(|p| p.int_at(&["nodePort"])).collect();
    let Some(ports) = new.at_mut(&["spec", "ports"]).and_then(Value::as_list_mut) else { return };
    for port in ports {
        if port.int_at(&["nodePort"]).is_some_and(|n| before.contains(&n)) {
            port.remove_at(&["nodePort"]);
        }
    }
}

fn protocol(port: &Value) -> String {
    match port.str_at(&["protocol"]) {
        "" => "TCP".to_owned(),
        p => p.to_owned(),
    }
}

fn ports(
    call: &Call<'_>,
    service: &mut Value,
    old: Option<&Value>,
    held: &mut Reservation,
    errors: &mut Vec<FieldError>,
) {
    let automatic = has_node_ports(service);
    let had: Vec<(i64, String)> = old
        .iter()
        .flat_map(|o| o.list_at(&["spec", "ports"]))
        .filter_map(|p| Some((p.int_at(&["nodePort"])?, protocol(p))))
        .collect();
    let Some(list) = service.at_mut(&["spec", "ports"]).and_then(Value::as_list_mut) else { return };
    // Ports of the same number with different protocols share a node port.
    let mut given: Vec<(i64, u16, Vec<String>)> = Vec::new();
    for (i, port) in list.iter_mut().enumerate() {
        let mut wanted = port.int_at(&["nodePort"]).unwrap_or(0);
        let protocol = protocol(port);
        if wanted == 0 && automatic {
            // An update that leaves the node port out keeps the old one.
            wanted = keep_port(old, port, &protocol).unwrap_or(0);
        }
        if wanted > 0 && had.contains(&(wanted, protocol.clone())) {
            port.set_at(&["nodePort"], wanted);
            continue;
        }
        if wanted == 0 && !automatic {
            continue;
        }
        let number = port.int_at(&["port"]).unwrap_or(0);
        let shared = given.iter().find(|(n, _, p)| *n == number && wanted == 0 && !p.contains(&protocol));
        let ask = shared.map_or(u16::try_from(wanted).unwrap_or(u16::MAX), |(_, node_port, _)| *node_port);
        let random = call.server.config.entropy.next_u64();
        match call.server.services.port(held, ask, &[protocol.as_str()], random) {
            Ok(found) => {
                port.set_at(&["nodePort"], i64::from(found));
                given.push((number, found, vec![protocol]));
            }
            Err(why) => {
                let path = Path::new("spec").child("ports").index(i).child("nodePort");
                let text = match why {
                    Refusal::Taken => "provided port is already allocated".to_owned(),
                    Refusal::OutOfRange => format!(
                        "provided port is not in the valid range. The range of valid ports is {}",
                        call.server.services.port_range()
                    ),
                    Refusal::Exhausted => "failed to allocate a nodePort: range is full".to_owned(),
                };
                errors.push(FieldError::invalid(&path, wanted.to_string(), text));
            }
        }
    }
}

fn keep_port(old: Option<&Value>, port: &Value, protocol_name: &str) -> Option<i64> {
    let same = |p: &&Value| {
        protocol(p) == protocol_name
            && p.int_at(&["port"]) == port.int_at(&["port"])
            && p.str_at(&["name"]) == port.str_at(&["name"])
    };
    old?.list_at(&["spec", "ports"]).iter().find(same)?.int_at(&["nodePort"]).filter(|n| *n > 0)
}

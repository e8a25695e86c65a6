//! Addresses and ports of Services: given out on create and when the type changes, kept otherwise.
//! IPv4 only.
// k8s: pkg/registry/core/service/storage/alloc.go

use std::net::Ipv4Addr;

use meta::{FieldError, Path, Status};
use schema::Value;

use super::allocator::{Allocator, Refusal, Reservation};
use crate::storage::{Call, object};

/// Completes a new Service.
pub(crate) fn create(call: &Call<'_>, taken: &Allocator, service: &mut Value) -> Result<Reservation, Status> {
    let mut held = taken.reservation();
    let mut errors = Vec::new();
    complete_address(service);
    families(call, service, None)?;
    addresses(call, taken, service, &mut held, &mut errors);
    ports(call, taken, service, None, &mut held, &mut errors);
    health_check_port(call, taken, service, None, &mut held, &mut errors);
    refuse(call, service, errors, held)
}

/// Keeps addresses and ports that stay and gives out new ones. What the type no longer has is dropped by the
/// kind's strategy.
pub(crate) fn update(
    call: &Call<'_>,
    taken: &Allocator,
    new: &mut Value,
    old: &Value,
) -> Result<Reservation, Status> {
    let mut held = taken.reservation();
    let mut errors = Vec::new();
    let external = |v: &Value| v.str_at(&["spec", "type"]) == "ExternalName";
    match (external(old), external(new)) {
        (_, true) => {}
        (false, false) => {
            keep_addresses(new, old);
            families(call, new, Some(old))?;
        }
        (true, false) => {
            complete_address(new);
            families(call, new, Some(old))?;
            addresses(call, taken, new, &mut held, &mut errors);
        }
    }
    ports(call, taken, new, Some(old), &mut held, &mut errors);
    health_check_port(call, taken, new, Some(old), &mut held, &mut errors);
    refuse(call, new, errors, held)
}

/// Holds the address of an IPAddress object that somebody makes, so that no Service gets it meanwhile.
pub(crate) fn address_object(
    call: &Call<'_>,
    taken: &Allocator,
    object: &Value,
) -> Result<Option<Reservation>, Status> {
    let name = object::text(object, "name");
    let Ok(address) = name.parse::<Ipv4Addr>() else { return Ok(None) };
    let held = taken.object(address);
    held.map(Some).ok_or_else(|| Status::already_exists(&call.resource.gvr, name))
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

/// Sets family and policy where they are left out and refuses what a cluster with one family cannot do.
// k8s: pkg/registry/core/service/storage/alloc.go initIPFamilyFields
fn families(call: &Call<'_>, service: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    if kind_of(service) == "ExternalName" {
        return Ok(());
    }
    let bare = service.str_at(&["spec", "clusterIP"]) == "None"
        && service.at(&["spec", "selector"]).and_then(Value::as_map).is_none_or(|m| m.is_empty());
    if service.str_at(&["spec", "ipFamilyPolicy"]).is_empty() {
        let before = old.map_or("", |o| o.str_at(&["spec", "ipFamilyPolicy"])).to_owned();
        let policy = match before.as_str() {
            "" if bare => "RequireDualStack",
            "" => "SingleStack",
            before => before,
        };
        service.set_at(&["spec", "ipFamilyPolicy"], policy);
    }
    let invalid = |service: &Value, errors: Vec<FieldError>| match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid(&call.resource.gvk, object::text(service, "name"), &errors)),
    };
    let malformed = service.get("spec").map(kinds::core::service_rules::cluster_ips).unwrap_or_default();
    invalid(service, malformed)?;
    let mut errors = Vec::new();
    let spec = Path::new("spec");
    let at = spec.child("ipFamilyPolicy");
    let policy = service.str_at(&["spec", "ipFamilyPolicy"]).to_owned();
    let mut list: Vec<Value> = service.list_at(&["spec", "ipFamilies"]).to_vec();
    for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
        if policy == "SingleStack" && service.list_at(&["spec", field]).len() == 2 {
            let why =
                format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
            errors.push(FieldError::invalid(&at, meta::field::quoted(&policy), why));
        }
    }
    for (i, ip) in service.list_at(&["spec", "clusterIPs"]).iter().enumerate().skip(list.len()) {
        match ip.as_str().unwrap_or("") {
            "None" => break,
            ip if ip.contains(':') => {
                let shown = format!("[{}]", meta::field::quoted(ip));
                let at = spec.child("clusterIPs").index(i);
                errors.push(FieldError::invalid(&at, shown, "IPv6 is not configured on this cluster"));
            }
            _ => list.push("IPv4".into()),
        }
    }
    invalid(service, std::mem::take(&mut errors))?;
    if bare {
        if list.is_empty() {
            list.push("IPv4".into());
        }
        if list.len() < 2 && policy != "SingleStack" {
            let other = if list[0].as_str() == Some("IPv4") { "IPv6" } else { "IPv4" };
            list.push(other.into());
        }
        service.set_at(&["spec", "ipFamilies"], list);
        return Ok(());
    }
    if policy == "RequireDualStack" {
        let why = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid(&at, "\"RequireDualStack\"", why));
    }
    for (i, f) in list.iter().enumerate().filter(|(_, f)| f.as_str() != Some("IPv4")) {
        let shown = meta::field::quoted(f.as_str().unwrap_or(""));
        let at = spec.child("ipFamilies").index(i);
        errors.push(FieldError::invalid(&at, shown, "not configured on this cluster"));
    }
    invalid(service, errors)?;
    if list.is_empty() {
        list.push("IPv4".into());
    }
    service.set_at(&["spec", "ipFamilies"], list);
    Ok(())
}

fn addresses(
    call: &Call<'_>,
    taken: &Allocator,
    service: &mut Value,
    held: &mut Reservation,
    errors: &mut Vec<FieldError>,
) {
    let given = service.str_at(&["spec", "clusterIP"]).to_owned();
    if kind_of(service) == "ExternalName" || given == "None" {
        return;
    }
    let wanted: Option<Ipv4Addr> = given.parse().ok();
    let random = call.state.entropy.next_u64();
    match taken.address(held, wanted, random) {
        Ok(ip) => set_address(service, &ip.to_string()),
        Err(why) => {
            let field = Path::new("spec").child("clusterIPs");
            let shown = format!("[{}]", meta::field::quoted(&given));
            errors.push(FieldError::invalid(&field, shown, address_text(taken, why, &given)));
        }
    }
}

/// The port on which nodes tell a load balancer whether they have pods.
// k8s: pkg/registry/core/service/storage/alloc.go allocHealthCheckNodePort
fn health_check_port(
    call: &Call<'_>,
    taken: &Allocator,
    service: &mut Value,
    old: Option<&Value>,
    held: &mut Reservation,
    errors: &mut Vec<FieldError>,
) {
    let needs = |v: &Value| v.get("spec").is_some_and(kinds::core::service::needs_health_check);
    let port = |v: &Value| v.int_at(&["spec", "healthCheckNodePort"]).unwrap_or(0);
    if !needs(service) {
        return;
    }
    let before = old.filter(|o| needs(o)).map_or(0, port);
    if before != 0 {
        if port(service) == 0 {
            service.set_at(&["spec", "healthCheckNodePort"], before);
        }
        return;
    }
    let wanted = port(service);
    let random = call.state.entropy.next_u64();
    let ask = u16::try_from(wanted).unwrap_or(u16::MAX);
    match taken.port(held, ask, &["TCP"], random) {
        Ok(found) => service.set_at(&["spec", "healthCheckNodePort"], i64::from(found)),
        Err(why) => {
            let path = Path::new("spec").child("healthCheckNodePort");
            errors.push(FieldError::invalid(&path, wanted.to_string(), port_text(taken, why)));
        }
    }
}

fn port_text(taken: &Allocator, why: Refusal) -> String {
    match why {
        Refusal::Taken => "provided port is already allocated".to_owned(),
        Refusal::OutOfRange => format!(
            "provided port is not in the valid range. The range of valid ports is {}",
            taken.port_range()
        ),
        Refusal::Exhausted => "failed to allocate a nodePort: range is full".to_owned(),
    }
}

fn address_text(taken: &Allocator, why: Refusal, given: &str) -> String {
    match why {
        Refusal::Taken => format!("failed to allocate IP {given}: provided IP is already allocated"),
        Refusal::OutOfRange => format!(
            "failed to allocate IP {given}: the provided IP ({given}) is not in the valid range. The range of valid IPs is {}",
            taken.cidr()
        ),
        Refusal::Exhausted => "failed to allocate a serviceIP: range is full".to_owned(),
    }
}

/// The list of a client that knows only the single field.
// k8s: pkg/registry/core/service/storage/storage.go normalizeClusterIPs
fn complete_address(service: &mut Value) {
    let ip = service.str_at(&["spec", "clusterIP"]).to_owned();
    if !ip.is_empty() && service.list_at(&["spec", "clusterIPs"]).is_empty() {
        service.set_at(&["spec", "clusterIPs"], vec![Value::from(ip)]);
    }
}

fn set_address(service: &mut Value, text: &str) {
    service.set_at(&["spec", "clusterIP"], text);
    service.set_at(&["spec", "clusterIPs"], vec![Value::from(text)]);
}

/// Fields that an update may leave out are taken over; a change of them is left to validation.
// k8s: pkg/registry/core/service/storage/alloc.go patchAllocatedValues, normalizeClusterIPs
fn keep_addresses(new: &mut Value, old: &Value) {
    let (before, all) = (old.str_at(&["spec", "clusterIP"]), old.at(&["spec", "clusterIPs"]));
    if new.str_at(&["spec", "clusterIP"]).is_empty() {
        new.set_at(&["spec", "clusterIP"], before);
    }
    let ip = new.str_at(&["spec", "clusterIP"]).to_owned();
    let list = new.at(&["spec", "clusterIPs"]);
    let unset = list.and_then(Value::as_list).is_none_or(|l| l.is_empty());
    match all {
        Some(all) if unset && ip == before => new.set_at(&["spec", "clusterIPs"], all.clone()),
        // A client that knows only the single field has changed it.
        _ if ip != before && (unset || list == all) => {
            new.set_at(&["spec", "clusterIPs"], vec![Value::from(ip)]);
        }
        _ => {}
    }
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        if new.at(&["spec", field]).is_none()
            && let Some(v) = old.at(&["spec", field]).cloned()
        {
            new.set_at(&["spec", field], v);
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
    taken: &Allocator,
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
        let random = call.state.entropy.next_u64();
        match taken.port(held, ask, &[protocol.as_str()], random) {
            Ok(found) => {
                port.set_at(&["nodePort"], i64::from(found));
                given.push((number, found, vec![protocol]));
            }
            Err(why) => {
                let path = Path::new("spec").child("ports").index(i).child("nodePort");
                errors.push(FieldError::invalid(&path, wanted.to_string(), port_text(taken, why)));
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

//! nodes/proxy, pods/proxy and services/proxy: carried on to the kubelet, a pod, or a ready endpoint.
// k8s: pkg/registry/core/node/strategy.go, pod/strategy.go, service/strategy.go ResourceLocation

use std::net::IpAddr;

use meta::{Gvr, Response, Status, Target, Tunnel};
use serde::Deserialize;
use stdx::net::is_global_unicast;
use watchcache::RevisionMatch;

use super::node;
use super::pod_connect::{escape, tunnel};
use crate::storage::{Call, peek};

/// `[scheme:]name[:port]`.
struct Parts<'a> {
    scheme: &'static str,
    name: &'a str,
    port: &'a str,
}

/// `kind` is `node`, `pod` or `service`.
fn split<'a>(kind: &str, text: &'a str) -> Result<Parts<'a>, Status> {
    let bad = || Status::bad_request(format!("invalid {kind} request {}", meta::field::quoted(text)));
    let parts: Vec<&str> = text.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return Err(bad()),
    };
    let scheme = match scheme {
        "" | "http" => "http",
        "https" => "https",
        _ => return Err(bad()),
    };
    if name.is_empty() { Err(bad()) } else { Ok(Parts { scheme, name, port }) }
}

/// Answers a proxy request.
pub(crate) fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let Target::Resource { subpath, .. } = &call.request.target else {
        return Err(Status::unknown_resource());
    };
    let segments: Vec<String> = subpath.split('/').map(escape).collect();
    let mut path_and_query = format!("/{}", segments.join("/"));
    for (i, (k, v)) in call.request.query.0.iter().enumerate() {
        path_and_query.push(if i == 0 { '?' } else { '&' });
        path_and_query.push_str(&format!("{}={}", escape(k), escape(v)));
    }
    let parts = split(call.resource.gvr.resource.trim_end_matches('s'), call.name)?;
    let (scheme, host, port, client_certificate) = match &*call.resource.gvr.resource {
        "nodes" => {
            let (host, port) = node::kubelet(call, parts.name)?;
            match parts.port {
                "" => ("https", host, port, true),
                given => match given.parse::<u16>() {
                    Ok(given) if given == port => ("https", host, port, true),
                    Ok(given) => (parts.scheme, host, given, false),
                    Err(_) => {
                        return Err(Status::bad_request(format!(
                            "invalid port {given:?} of node {}",
                            parts.name
                        )));
                    }
                },
            }
        }
        "pods" => {
            let (host, port) = pod(call, &parts)?;
            (parts.scheme, host, port, false)
        }
        _ => {
            let (host, port) = service(call, &parts)?;
            (parts.scheme, host, port, false)
        }
    };
    check_address(&host)?;
    let headers = Vec::new();
    let to = Tunnel { scheme, host, port, path_and_query, headers, client_certificate, global_only: true };
    Ok(tunnel(to))
}

/// The server must not be made to ask itself, nor who is near it. What a name stands for is seen when it is dialled.
// k8s: pkg/registry/core/node/strategy.go isProxyableHostname, pod/strategy.go ResourceLocation
fn check_address(host: &str) -> Result<(), Status> {
    match host.parse::<IpAddr>() {
        Ok(ip) if !is_global_unicast(ip) => Err(Status::bad_request("address not allowed")),
        _ => Ok(()),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodSpec {
    containers: Option<Vec<Container>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Container {
    ports: Option<Vec<ContainerPort>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    container_port: u16,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodStatus {
    #[serde(rename = "podIP")]
    pod_ip: String,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodIp {
    ip: String,
}

fn pod(call: &Call<'_>, parts: &Parts<'_>) -> Result<(String, u16), Status> {
    let entry = call.find(parts.name)?;
    let pod = peek::project::<Pod>(entry.object_bytes());
    let ports: Vec<ContainerPort> =
        pod.spec.containers.into_iter().flatten().flat_map(|c| c.ports.unwrap_or_default()).collect();
    let port = match parts.port {
        "" if parts.scheme == "https" => ports.first().map_or(443, |p| p.container_port),
        "" => ports.first().map_or(80, |p| p.container_port),
        text => match text.parse() {
            Ok(n) => n,
            Err(_) => ports.iter().find(|p| p.name == text).map(|p| p.container_port).ok_or_else(|| {
                Status::bad_request(format!("no port {} in pod {}", meta::field::quoted(text), parts.name))
            })?,
        },
    };
    // Neither is a pod without an address, nor one whose address is a name.
    if pod.status.pod_ip.parse::<IpAddr>().is_err() {
        return Err(Status::bad_request("address not allowed"));
    }
    Ok((pod.status.pod_ip, port))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Service {
    spec: ServiceSpec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServiceSpec {
    ports: Option<Vec<ServicePort>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServicePort {
    name: String,
    port: u16,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Slice {
    endpoints: Option<Vec<Endpoint>>,
    ports: Option<Vec<SlicePort>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Endpoint {
    addresses: Option<Vec<String>>,
    conditions: Conditions,
    target_ref: Option<TargetRef>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TargetRef {
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SlicePort {
    name: Option<String>,
    port: Option<u16>,
}

fn service(call: &Call<'_>, parts: &Parts<'_>) -> Result<(String, u16), Status> {
    let entry = call.find(parts.name)?;
    let ports = peek::project::<Service>(entry.object_bytes()).spec.ports.unwrap_or_default();
    let unavailable = |why: &str| Err(Status::unavailable(format!("{why} for service \"{}\"", parts.name)));
    // A number is that of the Service's port; all else is the port's name, and nothing is the port without one.
    let wanted = match parts.port.parse::<i64>() {
        Ok(number) => match ports.iter().find(|p| i64::from(p.port) == number) {
            Some(port) => port.name.as_str(),
            None => return unavailable(&format!("no service port {number} found")),
        },
        Err(_) => parts.port,
    };
    let slices = call.state.registry()?.find(&Gvr::new("discovery.k8s.io", "v1", "endpointslices"))?;
    let snapshot = slices.cache.list(RevisionMatch::Any).map_err(|e| Status::internal(e.to_string()))?;
    let prefix = format!("{}{}/", slices.prefix, call.namespace);
    let mut found: Vec<(String, u16)> = Vec::new();
    for entry in snapshot.iter(&prefix, None) {
        if entry.facts().label("kubernetes.io/service-name") != Some(parts.name) {
            continue;
        }
        let slice = peek::project::<Slice>(entry.object_bytes());
        let port = slice.ports.iter().flatten().find(|p| p.name.as_deref().unwrap_or("") == wanted);
        let Some(port) = port.and_then(|p| p.port) else { continue };
        for e in slice.endpoints.into_iter().flatten().filter(|e| e.conditions.ready != Some(false)) {
            let address = e.addresses.iter().flatten().next();
            if let Some(address) = address.filter(|a| is_of_pod(call, &e, a)) {
                found.push((address.clone(), port));
            }
        }
    }
    if found.is_empty() {
        return unavailable("no endpoints available");
    }
    let at = call.state.entropy.next_u64() % found.len() as u64;
    Ok(found.swap_remove(usize::try_from(at).unwrap_or(0)))
}

/// Whoever may write endpoints could otherwise have the server ask anything: only addresses of pods are dialled.
// k8s: pkg/registry/core/service/storage/storage.go isValidAddress
fn is_of_pod(call: &Call<'_>, endpoint: &Endpoint, address: &str) -> bool {
    let Some(target) = endpoint.target_ref.as_ref().filter(|t| t.namespace == call.namespace) else {
        return false;
    };
    let pods = Gvr::new("", "v1", "pods");
    let Ok(resource) = call.state.registry().and_then(|r| r.find(&pods)) else { return false };
    let Some(entry) = resource.cache.get(&resource.key(call.namespace, &target.name)) else { return false };
    let pod = peek::project::<Pod>(entry.object_bytes());
    let is_global = address.parse().is_ok_and(is_global_unicast);
    is_global && pod.status.pod_ips.iter().flatten().any(|p| p.ip == address)
}

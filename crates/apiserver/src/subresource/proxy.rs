//! nodes/proxy, pods/proxy and services/proxy: carried on to the kubelet, a pod, or a ready endpoint.
// k8s: pkg/registry/core/node/strategy.go, pod/strategy.go, service/strategy.go ResourceLocation

use meta::{Gvr, Response, Status, Target, Tunnel};
use serde::Deserialize;
use watchcache::RevisionMatch;

use super::node;
use super::pod_connect::{escape, tunnel};
use crate::peek;
use crate::server::Call;
use crate::verbs::get;

/// `[scheme:]name[:port]`.
struct Parts<'a> {
    scheme: &'static str,
    name: &'a str,
    port: &'a str,
}

fn split(text: &str) -> Result<Parts<'_>, Status> {
    let bad = || Status::bad_request(format!("invalid proxy request {}", meta::field::quoted(text)));
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
    let parts = split(call.name)?;
    let (scheme, host, port, client_certificate) = match &*call.resource.gvr.resource {
        "nodes" => {
            let (host, port) = node::kubelet(call, parts.name)?;
            match parts.port.parse::<u16>() {
                Ok(given) if given != port => (parts.scheme, host, given, false),
                _ => ("https", host, port, true),
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
    Ok(tunnel(Tunnel { scheme, host, port, path_and_query, headers: Vec::new(), client_certificate }))
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
}

fn named<'a>(call: &Call<'a>, name: &'a str) -> Call<'a> {
    Call {
        server: call.server,
        request: call.request,
        user: call.user,
        resource: call.resource.clone(),
        namespace: call.namespace,
        name,
        subresource: call.subresource,
        now: call.now,
    }
}

fn pod(call: &Call<'_>, parts: &Parts<'_>) -> Result<(String, u16), Status> {
    let entry = get::find(&named(call, parts.name))?;
    let pod = peek::project::<Pod>(entry.object_bytes());
    let ports: Vec<ContainerPort> =
        pod.spec.containers.into_iter().flatten().flat_map(|c| c.ports.unwrap_or_default()).collect();
    let port = match parts.port {
        "" => ports.first().map_or(80, |p| p.container_port),
        text => match text.parse() {
            Ok(n) => n,
            Err(_) => ports.iter().find(|p| p.name == text).map(|p| p.container_port).ok_or_else(|| {
                Status::bad_request(format!("no port {} in pod {}", meta::field::quoted(text), parts.name))
            })?,
        },
    };
    if pod.status.pod_ip.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have an address", parts.name)));
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
#[serde(default)]
struct Endpoint {
    addresses: Option<Vec<String>>,
    conditions: Conditions,
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
    let entry = get::find(&named(call, parts.name))?;
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
    let slices = call.server.registry()?.find(&Gvr::new("discovery.k8s.io", "v1", "endpointslices"))?;
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
            found.extend(e.addresses.into_iter().flatten().take(1).map(|a| (a, port)));
        }
    }
    if found.is_empty() {
        return unavailable("no endpoints available");
    }
    let at = call.server.config.entropy.next_u64() % found.len() as u64;
    Ok(found.swap_remove(usize::try_from(at).unwrap_or(0)))
}

//! Where a node's kubelet is reached.

use meta::{Gvr, Status};
use serde::Deserialize;

use crate::storage::{Call, peek};

const DEFAULT_PORT: u16 = 10_250;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Node {
    status: NodeStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeStatus {
    addresses: Option<Vec<Address>>,
    daemon_endpoints: Endpoints,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Endpoints {
    kubelet_endpoint: Endpoint,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "Port")]
    port: u16,
}

/// Host and port of the kubelet of a node.
pub(super) fn kubelet(call: &Call<'_>, name: &str) -> Result<(String, u16), Status> {
    let gvr = Gvr::new("", "v1", "nodes");
    let resource = call.state.registry()?.find(&gvr)?;
    let entry = resource.cache.get(&resource.key("", name)).ok_or_else(|| Status::not_found(&gvr, name))?;
    let status = peek::project::<Node>(entry.object_bytes()).status;
    let addresses = status.addresses.unwrap_or_default();
    let host = ["InternalIP", "Hostname", "ExternalIP"]
        .iter()
        .find_map(|kind| addresses.iter().find(|a| a.kind == *kind))
        .ok_or_else(|| {
            Status::internal(format!("no preferred addresses found; known addresses: [] of node {name}"))
        })?;
    let port = status.daemon_endpoints.kubelet_endpoint.port;
    Ok((host.address.clone(), if port == 0 { DEFAULT_PORT } else { port }))
}

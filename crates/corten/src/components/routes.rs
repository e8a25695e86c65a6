//! Keeps the routes to the pods of other nodes. What is wanted is decided in `network::routes`.

use std::time::Duration;

use control::{Context, Selection, reflect_raw};
use meta::Gvr;
use network::routes::{Peer, Routes, sync, wanted};
use serde::Deserialize;
use tokio::time::Instant;

use crate::components::mirror::Mirror;

const NODES: Gvr = Gvr::new("", "v1", "nodes");
/// How long changes are gathered before they are applied together.
const GATHER: Duration = Duration::from_millis(20);
/// Routes go with the link they lead over: they are looked at again so often.
const RESYNC: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(5);

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Node {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Status {
    addresses: Vec<Address>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

fn peer(n: &Node) -> Peer {
    let internal = n.status.addresses.iter().filter(|a| a.kind == "InternalIP");
    Peer {
        name: n.metadata.name.clone(),
        pod_cidrs: n.spec.pod_cidrs.clone(),
        address: internal.filter_map(|a| a.address.parse().ok()).next(),
    }
}

/// Runs until the context is stopped, or what it follows breaks off. The routes stay, so that traffic goes on while nobody keeps them.
pub async fn run(ctx: &Context, own: &str) {
    let mut feed = reflect_raw(ctx, NODES, Selection::default());
    let mut nodes: Mirror<Node> = Mirror::new(|n| ("", &n.metadata.name));
    let mut due = Instant::now() + RESYNC;
    let mut said = String::new();
    loop {
        tokio::select! {
            () = ctx.stop.cancelled() => return,
            event = feed.recv() => {
                let Some(event) = event else { return };
                if nodes.take(event) {
                    due = due.min(Instant::now() + GATHER);
                }
            }
            () = tokio::time::sleep_until(due), if nodes.synced() => {
                let peers: Vec<Peer> = nodes.values().map(peer).collect();
                let failed = apply(&wanted(&peers, own), &mut said).await;
                due = Instant::now() + if failed { RETRY } else { RESYNC };
            }
        }
    }
}

/// Applies the routes; whether some were refused.
async fn apply(want: &Routes, said: &mut String) -> bool {
    let Err(errors) = sync(want).await else {
        said.clear();
        return false;
    };
    let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if text != *said {
        tracing::warn!(
            "routes to other nodes' pods (nodes must be on one network, without a router between): {text}"
        );
        *said = text;
    }
    true
}

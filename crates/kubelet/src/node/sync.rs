//! Registers the node and keeps its status true.
// k8s: pkg/kubelet/kubelet_node_status.go

use std::sync::Arc;
use std::time::Duration;

use client::{Api, Patch};
use meta::{Gvr, Status};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::machine;
use super::network::Network;
use super::object::{self, Observed};
use crate::run::Shared;
use crate::run::pleg::Health;

const NODES: Gvr = Gvr::new("", "v1", "nodes");
/// Between looks once the node is ready, and until then.
const PERIOD: Duration = Duration::from_secs(10);
const UNREADY_PERIOD: Duration = Duration::from_millis(200);
/// A status that did not change is still written this often.
const REPORT: Duration = Duration::from_secs(300);
/// The runtime counts as down when no list worked for this long.
// k8s: pkg/kubelet/pleg/generic.go RelistThreshold (3 min)
const PLEG_LIMIT: Duration = Duration::from_secs(180);
// k8s: pkg/kubelet/eviction/defaults_linux.go
const MEMORY_PRESSURE_BYTES: i64 = 100 << 20;
const DISK_FREE_PERCENT: i64 = 10;
const INODES_FREE_PERCENT: i64 = 5;

/// Runs until the agent stops. The Node's UID goes out through `uid`.
pub(crate) async fn run(shared: Arc<Shared>, health: Arc<Health>, uid: watch::Sender<String>) {
    let network = Network::default();
    let mut old: Option<Value> = None;
    let mut written_at = Duration::ZERO;
    let mut was_ready = None;
    loop {
        let node = match &old {
            None => register(&shared, &health, &network).await,
            Some(_) => get(&shared).await,
        };
        let mut wait = PERIOD;
        match node {
            Ok(n) => {
                let _ = uid.send_replace(n["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
                network.take(&shared, &n).await;
                let seen = observe(&shared, &health, &network).await;
                let ready = seen.not_ready.is_empty();
                if was_ready != Some(ready) {
                    announce(&shared, was_ready, ready);
                    was_ready = Some(ready);
                }
                if !ready {
                    wait = UNREADY_PERIOD;
                }
                let now = shared.ctx.clock.monotonic();
                let s = object::status(
                    &shared.config,
                    &shared.machine,
                    &seen,
                    Some(&n["status"]),
                    shared.ctx.now(),
                );
                let due = now.saturating_sub(written_at) >= REPORT;
                let changed = !contains(&n["status"], &s);
                if changed || due || old.is_none() {
                    match write(&shared, &s).await {
                        Ok(()) => written_at = now,
                        Err(e) => tracing::debug!("node status not written: {e}"),
                    }
                }
                old = Some(s);
            }
            Err(s) if s.code == 404 => {
                old = None;
                wait = UNREADY_PERIOD;
            }
            Err(s) => {
                tracing::debug!("node: {s}");
                wait = Duration::from_secs(1);
            }
        }
        if !shared.ctx.sleep(wait).await {
            return;
        }
    }
}

fn announce(shared: &Shared, was: Option<bool>, ready: bool) {
    if was.is_none() {
        shared.events.node(false, "Starting", "Starting kubelet.".to_owned());
    }
    let word = if ready { "NodeReady" } else { "NodeNotReady" };
    let message = format!("Node {} status is now: {word}", shared.config.node_name);
    if was.is_some() || ready {
        shared.events.node(!ready, if ready { "NodeReady" } else { "NodeNotReady" }, message);
    }
    tracing::info!("node {} is {}ready", shared.config.node_name, if ready { "" } else { "not " });
}

/// Whether the API's status says all that ours says, heartbeats aside.
fn contains(api: &Value, ours: &Value) -> bool {
    let picked: serde_json::Map<String, Value> = ours
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| {
            let mut have = api.get(k).cloned().unwrap_or(Value::Null);
            if k == "conditions"
                && let (Some(list), Some(own)) = (have.as_array_mut(), v.as_array())
            {
                // Others may add conditions of theirs.
                list.retain(|c| own.iter().any(|o| o["type"] == c["type"]));
                list.sort_by_key(|c| own.iter().position(|o| o["type"] == c["type"]));
            }
            (k.clone(), have)
        })
        .collect();
    object::same(&Value::Object(picked), ours)
}

fn parse(b: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(b).map_err(|e| Status::internal(e.to_string()))
}

async fn get(shared: &Shared) -> Result<Value, Status> {
    parse(&Api::new(shared.ctx.client.as_ref(), NODES, "").get(&shared.config.node_name).await?)
}

/// Creates the Node, or takes over the one that is there and makes its labels ours.
async fn register(shared: &Arc<Shared>, health: &Health, network: &Network) -> Result<Value, Status> {
    let api = Api::new(shared.ctx.client.as_ref(), NODES, "");
    let seen = observe(shared, health, network).await;
    let fresh = object::node(&shared.config, &shared.machine, &seen, shared.ctx.now());
    match api.create(fresh.to_string().into_bytes()).await {
        Ok(b) => parse(&b),
        Err(s) if s.is("AlreadyExists") => {
            let patch = json!({"metadata": {"labels": fresh["metadata"]["labels"]}});
            parse(
                &api.patch(&shared.config.node_name, "", Patch::Merge(patch.to_string().into_bytes()))
                    .await?,
            )
        }
        Err(s) => Err(s),
    }
}

async fn write(shared: &Shared, status: &Value) -> Result<(), Status> {
    let mut status = status.clone();
    // The list has a merge key: what went away must go.
    if let Some(list) = status["addresses"].as_array_mut() {
        list.insert(0, json!({"$patch": "replace"}));
    }
    let body = json!({"status": status}).to_string().into_bytes();
    let api = Api::new(shared.ctx.client.as_ref(), NODES, "");
    api.patch(&shared.config.node_name, "status", Patch::Strategic(body)).await.map(|_| ())
}

async fn observe(shared: &Shared, health: &Health, network: &Network) -> Observed {
    let mut out = Observed { host_ips: shared.node.host_ips.clone(), ..Observed::default() };
    match shared.runtime.status(false).await {
        Ok(r) => {
            let conditions = r.status.map(|s| s.conditions).unwrap_or_default();
            let failing = |name: &str| conditions.iter().find(|c| c.r#type == name && !c.status);
            if let Some(c) = failing("RuntimeReady") {
                out.not_ready.push(format!(
                    "container runtime status check may not have completed yet: runtime reason:{} message:{}",
                    c.reason, c.message
                ));
            }
            if let Some(c) = failing("NetworkReady") {
                let more = network.error.lock().as_ref().map(|e| format!(" ({e})")).unwrap_or_default();
                out.not_ready.push(format!(
                    "container runtime network not ready: NetworkReady=false reason:{} message:{}{more}",
                    c.reason, c.message
                ));
            }
        }
        Err(e) => out.not_ready.push(format!("container runtime is down: {e}")),
    }
    let listed = *health.listed_at.lock();
    let now = shared.ctx.clock.monotonic();
    if listed.is_some_and(|at| now.saturating_sub(at) > PLEG_LIMIT) {
        out.not_ready.push("PLEG is not healthy: pleg was last seen active too long ago".to_owned());
    }
    if let Ok(v) = shared.runtime.version().await {
        out.runtime_version = format!("{}://{}", v.runtime_name, v.runtime_version.trim_start_matches('v'));
    }
    out.images = shared.runtime.list_images(None).await.unwrap_or_default();
    out.memory_pressure = machine::memory_available() < MEMORY_PRESSURE_BYTES;
    let (size, free, inodes) = machine::disk(&shared.config.root_dir);
    out.disk_pressure = size > 0 && (free < size / 100 * DISK_FREE_PERCENT || inodes < INODES_FREE_PERCENT);
    let (used, max) = machine::pids();
    out.pid_pressure = used > max / 100 * 90;
    out
}

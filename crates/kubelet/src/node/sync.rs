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
use crate::admit::asks::Abilities;
use crate::admit::node::NodeView;
use crate::run::Shared;
use crate::run::pleg::Health;
use crate::spec::quantity;

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

/// When the Node is read next while it is not ready: what it waits for may be in it (the pod CIDR), but a node that
/// stays so is no reason to ask the API server all the time. Looks at this machine alone go on meanwhile.
#[derive(Default)]
struct Reads {
    next: Duration,
    pause: Duration,
}

impl Reads {
    /// Whether it is time, at this monotonic time.
    fn due(&mut self, now: Duration, ready: bool) -> bool {
        if ready {
            *self = Reads::default();
            return true;
        }
        if now < self.next {
            return false;
        }
        self.pause = (self.pause * 2).clamp(UNREADY_PERIOD, PERIOD);
        self.next = now.saturating_add(self.pause);
        true
    }
}

/// Before a status that was not taken, or does not stay as it was written, is written again.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

/// When the status was written, and what it said.
#[derive(Default)]
struct Writes {
    at: Option<Duration>,
    last: Value,
    next: Duration,
}

impl Writes {
    /// Whether to write this status at this monotonic time. `told`: the API says it already.
    fn due(&self, now: Duration, status: &Value, told: bool) -> bool {
        let old = self.at.is_none_or(|at| now.saturating_sub(at) >= REPORT);
        let again = object::same(&self.last, status);
        (old || !told) && (now >= self.next || !again)
    }

    /// A write at this time, and whether it was taken.
    fn note(&mut self, now: Duration, status: Value, taken: bool) {
        self.next = now.saturating_add(WRITE_PAUSE);
        self.last = status;
        if taken {
            self.at = Some(now);
        }
    }
}

/// Runs until the agent stops. The Node's UID goes out through `uid`.
pub(crate) async fn run(shared: Arc<Shared>, health: Arc<Health>, uid: watch::Sender<String>) {
    let network = Network::default();
    let mut held: Option<Value> = None;
    let mut writes = Writes::default();
    let mut was_ready = None;
    let mut reads = Reads::default();
    loop {
        let now = shared.ctx.clock.monotonic();
        let node = match held.take() {
            None => register(&shared, &health, &network).await,
            Some(n) if !reads.due(now, was_ready == Some(true)) => Ok(n),
            Some(n) => match read(&shared).await {
                Err(s) if s.code != 404 => {
                    held = Some(n);
                    Err(s)
                }
                answer => answer,
            },
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
                held = Some(told(&shared, n, &seen, &mut writes).await);
            }
            Err(s) if s.code == 404 => wait = UNREADY_PERIOD,
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

/// Writes the status when it says something new, or was not written for long; gives the Node as it then is.
async fn told(shared: &Shared, node: Value, seen: &Observed, writes: &mut Writes) -> Value {
    let now = shared.ctx.clock.monotonic();
    let s = object::status(&shared.config, &shared.machine, seen, Some(&node["status"]), shared.ctx.now());
    if !writes.due(now, &s, contains(&node["status"], &s)) {
        return node;
    }
    let answer = write(shared, &s).await;
    writes.note(now, s, answer.is_ok());
    match answer {
        Ok(after) => after,
        Err(e) => {
            tracing::debug!("node status not written: {e}");
            node
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
            if matches!(k.as_str(), "capacity" | "allocatable") {
                // Others may add resources of theirs, and a quantity may be written in another way.
                have = v
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, own)| (name, held(&have[name], own)))
                    .collect();
            }
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

/// The quantity as the node writes it, where it is the same.
fn held(have: &Value, own: &Value) -> Value {
    let number = |v: &Value| quantity::parse(v.as_str()?, 1000);
    if number(have).is_some_and(|n| Some(n) == number(own)) { own.clone() } else { have.clone() }
}

fn parse(b: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(b).map_err(|e| Status::internal(e.to_string()))
}

/// Reads the Node, for all that look at it.
pub(crate) async fn read(shared: &Shared) -> Result<Value, Status> {
    let api = Api::new(shared.ctx.client.as_ref(), NODES, "");
    let node = parse(&api.get(&shared.config.node_name).await?)?;
    note(shared, &node);
    Ok(node)
}

fn note(shared: &Shared, node: &Value) {
    match NodeView::of(node) {
        Some(view) => *shared.own_node.lock() = Arc::new(view),
        None => tracing::error!("the own Node cannot be read: pods are admitted by what it was before"),
    }
}

/// Creates the Node, or takes over the one that is there and makes its labels ours.
async fn register(shared: &Arc<Shared>, health: &Health, network: &Network) -> Result<Value, Status> {
    let api = Api::new(shared.ctx.client.as_ref(), NODES, "");
    let seen = observe(shared, health, network).await;
    let fresh = object::node(&shared.config, &shared.machine, &seen, shared.ctx.now());
    let answer = match api.create(fresh.to_string().into_bytes()).await {
        Err(s) if s.is("AlreadyExists") => {
            let patch = json!({"metadata": {"labels": fresh["metadata"]["labels"]}});
            let patch = Patch::Merge(patch.to_string().into_bytes());
            api.patch(&shared.config.node_name, "", patch).await?
        }
        answer => answer?,
    };
    let node = parse(&answer)?;
    note(shared, &node);
    Ok(node)
}

async fn write(shared: &Shared, status: &Value) -> Result<Value, Status> {
    let mut status = status.clone();
    // The list has a merge key: what went away must go.
    if let Some(list) = status["addresses"].as_array_mut() {
        list.insert(0, json!({"$patch": "replace"}));
    }
    let body = json!({"status": status}).to_string().into_bytes();
    let api = Api::new(shared.ctx.client.as_ref(), NODES, "");
    let node = parse(&api.patch(&shared.config.node_name, "status", Patch::Strategic(body)).await?)?;
    note(shared, &node);
    Ok(node)
}

async fn observe(shared: &Shared, health: &Health, network: &Network) -> Observed {
    let mut out = Observed { host_ips: shared.node.host_ips.clone(), ..Observed::default() };
    match shared.runtime.status(true).await {
        Ok(r) => {
            let abilities = Abilities::of(&r, machine::has_apparmor());
            out.handlers = abilities.handlers();
            out.supplemental_groups_policy = abilities.supplemental_groups_policy;
            *shared.abilities.lock() = abilities;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_the_same_in_other_words() {
        let ours = json!({"capacity": {"cpu": "2", "memory": "1048576Ki"}, "features": {"a": true},
            "conditions": [{"type": "Ready", "status": "True"}]});
        let api = |cpu: &str, memory: &str| {
            json!({"capacity": {"cpu": cpu, "memory": memory, "example.com/gpu": "1"}, "features": {"a": true},
                "conditions": [{"type": "Other"}, {"type": "Ready", "status": "True", "lastHeartbeatTime": "x"}]})
        };
        for (cpu, memory, same) in [
            ("2", "1048576Ki", true),
            ("2", "1Gi", true),
            ("2000m", "1073741824", true),
            ("2001m", "1Gi", false),
            ("2", "2Gi", false),
            ("2", "lots", false),
        ] {
            assert_eq!(contains(&api(cpu, memory), &ours), same, "{cpu} {memory}");
        }
        assert!(!contains(&json!({"capacity": {"cpu": "2"}, "features": {"a": true}}), &ours));
        assert!(!contains(&json!({}), &ours));
    }

    /// Two minutes of looks, five a second, by what becomes of the writes.
    #[test]
    fn writes_that_change_nothing_are_made_once_a_second() {
        let count = |taken: bool, told: bool| {
            let (mut writes, mut count) = (Writes::default(), 0);
            for tick in 0..600u32 {
                let (now, status) = (UNREADY_PERIOD * tick, json!({"conditions": []}));
                if writes.due(now, &status, told && writes.at.is_some()) {
                    writes.note(now, status, taken);
                    count += 1;
                }
            }
            count
        };
        assert_eq!(count(false, false), 120, "refused");
        assert_eq!(count(true, false), 120, "taken and changed by somebody");
        assert_eq!(count(true, true), 1);
        // What is new is told at once.
        let mut writes = Writes::default();
        writes.note(Duration::from_secs(9), json!({"conditions": [{"status": "False"}]}), true);
        assert!(writes.due(Duration::from_secs(9), &json!({"conditions": [{"status": "True"}]}), false));
    }

    #[test]
    fn a_node_that_stays_unready_is_read_less_and_less_often() {
        let mut reads = Reads::default();
        let mut at = Vec::new();
        for tick in 0..600u32 {
            let now = UNREADY_PERIOD * tick;
            if reads.due(now, false) {
                at.push(now.as_millis());
            }
        }
        // Two minutes of looks, five a second: the API server is asked seldom, but early.
        assert_eq!(at[..6], [0, 200, 600, 1400, 3000, 6200]);
        assert!(at.len() < 20, "{at:?}");
        assert!(reads.due(Duration::from_secs(121), true), "a ready node is read with each look");
        assert!(reads.due(Duration::from_secs(122), false));
    }
}

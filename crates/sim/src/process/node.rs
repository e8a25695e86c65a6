//! A hollow node: it registers, renews its lease, starts the pods bound to it after a while, reports them,
//! and stops those that are to go. Containers sometimes crash. Nothing runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use control::RawEvent;
use controllers::core::condition;
use controllers::core::node::Node;
use controllers::core::pod::Pod;
use jiff::Timestamp;
use meta::{Gvr, Status};
use reconcile::time::{after, rfc3339, rfc3339_micro, whole_seconds};
use reconcile::{Answer, Key, KindCache, Op, PatchKind};
use serde_json::{Value, json};

use super::schedule::deltas;
use super::{FeedSpec, Note, Outgoing, Process};
use crate::rng::Rng;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const NODES: Gvr = Gvr::new("", "v1", "nodes");
const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// What a node has, and how its pods behave.
#[derive(Clone, Debug)]
pub struct Machine {
    pub name: String,
    pub number: u64,
    pub milli_cpu: i64,
    pub pods: i64,
    /// Containers that crash, of a thousand started.
    pub crashes_permille: u64,
    /// No container crashes after this.
    pub crashes_until: Timestamp,
    /// The longest that a pod takes to start, in milliseconds.
    pub start_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Running,
    Ready,
    Crashed,
    Stopping,
    Stopped,
}

#[derive(Clone, Debug)]
struct Local {
    key: Key,
    stage: Stage,
    /// When the stage ends by itself.
    until: Option<Timestamp>,
    /// Since when it is ready or not.
    since: Timestamp,
    ip: String,
    restarts: u32,
    broken: bool,
    in_flight: bool,
    not_before: Timestamp,
    /// The revision of the last status written.
    wrote: u64,
}

enum Sent {
    Pod(Arc<str>),
    Register,
    Status,
    Lease,
}

/// See the module.
pub struct Hollow {
    machine: Machine,
    rng: Rng,
    pods: KindCache<Pod>,
    nodes: KindCache<Node>,
    local: BTreeMap<Arc<str>, Local>,
    sent: BTreeMap<u64, Sent>,
    next_token: u64,
    next_ip: u64,
    registered: bool,
    busy_register: bool,
    busy_status: bool,
    busy_lease: bool,
    /// Whether the lease is known to be there.
    leased: bool,
    lease_at: Timestamp,
    node_at: Timestamp,
    notes: Vec<Note>,
    /// The time of the last turn.
    turned: Timestamp,
}

impl Hollow {
    /// A node that has just been switched on.
    #[must_use]
    pub fn new(machine: Machine, seed: u64) -> Self {
        Hollow {
            machine,
            rng: Rng::new(seed),
            pods: KindCache::default(),
            nodes: KindCache::default(),
            local: BTreeMap::new(),
            sent: BTreeMap::new(),
            next_token: 0,
            next_ip: 0,
            registered: false,
            busy_register: false,
            busy_status: false,
            busy_lease: false,
            leased: false,
            lease_at: Timestamp::MIN,
            node_at: Timestamp::MIN,
            notes: Vec::new(),
            turned: Timestamp::MIN,
        }
    }

    fn later(&mut self, now: Timestamp, from: i64, to: i64) -> Timestamp {
        let millis = self.rng.delay(from, to);
        after(now, Duration::from_millis(millis.unsigned_abs()))
    }

    /// Brings the local pods in line with what is bound here.
    fn admit(&mut self, now: Timestamp) {
        let bound: Vec<Arc<Pod>> = self.pods.iter().cloned().collect();
        self.local.retain(|uid, _| bound.iter().any(|p| p.metadata.uid == *uid));
        for pod in bound {
            let uid = pod.metadata.uid.clone();
            let gone = pod.metadata.deleting();
            match self.local.get(&uid).map(|l| l.stage) {
                None if gone || pod.finished() => self.take(&pod, Stage::Stopped, None, now),
                None => {
                    let until = self.later(now, 300, self.machine.start_ms);
                    self.take(&pod, Stage::Starting, Some(until), now);
                }
                Some(Stage::Stopping | Stage::Stopped) => {}
                Some(_) if gone => self.stop(&pod, now),
                Some(_) => {}
            }
        }
    }

    fn take(&mut self, pod: &Pod, stage: Stage, until: Option<Timestamp>, now: Timestamp) {
        self.next_ip += 1;
        let ip = format!("10.{}.{}.{}", self.machine.number, self.next_ip / 250, self.next_ip % 250 + 1);
        let local = Local {
            key: pod.metadata.key(),
            stage,
            until,
            since: now,
            ip,
            restarts: 0,
            broken: pod.metadata.labels.get("quality") == Some("broken"),
            in_flight: false,
            not_before: now,
            wrote: 0,
        };
        self.local.insert(pod.metadata.uid.clone(), local);
    }

    fn stop(&mut self, pod: &Pod, now: Timestamp) {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(30).clamp(0, 30);
        let until = self.later(now, 50, 100 + grace * 1000);
        if let Some(l) = self.local.get_mut(&pod.metadata.uid) {
            (l.stage, l.until, l.since) = (Stage::Stopping, Some(until), now);
        }
    }

    /// Moves pods whose time has come.
    fn progress(&mut self, now: Timestamp) {
        let due: Vec<Arc<str>> = self
            .local
            .iter()
            .filter(|(_, l)| l.until.is_some_and(|t| t <= now))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in due {
            let crash = self.rng.permille(self.machine.crashes_permille);
            let crashes = now < self.machine.crashes_until;
            let soon = self.later(now, 50, 4000);
            let long = self.later(now, 5000, 60_000);
            let Some(l) = self.local.get_mut(&uid) else { continue };
            let was = l.stage;
            (l.stage, l.until) = match l.stage {
                Stage::Starting if l.broken => (Stage::Running, None),
                Stage::Starting => (Stage::Running, Some(soon)),
                Stage::Running => (Stage::Ready, crash.then_some(long)),
                Stage::Ready if !crashes => (Stage::Ready, None),
                Stage::Ready => {
                    l.restarts += 1;
                    (Stage::Crashed, Some(soon))
                }
                Stage::Crashed => (Stage::Running, Some(soon)),
                Stage::Stopping | Stage::Stopped => (Stage::Stopped, None),
            };
            if l.stage != was {
                l.since = now;
            }
        }
    }

    fn send(&mut self, what: Sent, op: Op, out: &mut Vec<Outgoing>) {
        self.next_token += 1;
        self.sent.insert(self.next_token, what);
        out.push(Outgoing { token: self.next_token, op: Arc::new(op), user: None, decided: None });
    }

    /// Reports and deletes pods whose state in the API is not what it is here.
    fn report(&mut self, now: Timestamp, out: &mut Vec<Outgoing>) {
        let mut ops = Vec::new();
        let seen = self.pods.seen();
        for (uid, l) in &mut self.local {
            if l.in_flight || l.not_before > now || l.wrote > seen {
                continue;
            }
            let Some(pod) = self.pods.by_key(&l.key).filter(|p| p.metadata.uid == *uid) else { continue };
            let op = match l.stage {
                Stage::Starting => continue,
                Stage::Stopped if pod.metadata.deleting() => delete(l, uid),
                Stage::Stopped => continue,
                _ if pod.finished() => continue,
                _ if reported(l, pod) => continue,
                _ => status(l, uid),
            };
            l.in_flight = true;
            ops.push((uid.clone(), op));
        }
        for (uid, op) in ops {
            self.send(Sent::Pod(uid), op, out);
        }
    }

    fn node_object(&self, now: Timestamp) -> Value {
        let m = &self.machine;
        let room = json!({"cpu": format!("{}m", m.milli_cpu), "memory": "8Gi", "pods": m.pods.to_string()});
        json!({"kind": "Node", "apiVersion": "v1",
            "metadata": {"name": m.name, "labels": {"kubernetes.io/hostname": m.name}},
            "spec": {},
            "status": {"capacity": room, "allocatable": room, "conditions": [ready_condition(now)]}})
    }

    fn keep_node(&mut self, now: Timestamp, out: &mut Vec<Outgoing>) {
        if !self.registered {
            if !self.busy_register && self.node_at <= now {
                self.busy_register = true;
                let body = self.node_object(now).to_string().into_bytes();
                let name = self.machine.name.clone();
                let op = Op::Create { gvr: NODES, namespace: String::new(), name, body };
                self.send(Sent::Register, op, out);
            }
            return;
        }
        let Some(node) = self.nodes.get("", &self.machine.name).cloned() else { return };
        let told = condition::find(&node.status.conditions, "Ready").is_some_and(|c| &*c.status == "True");
        if !told && !self.busy_status && self.node_at <= now {
            self.busy_status = true;
            self.node_at = after(now, Duration::from_secs(10));
            let body = json!({"status": {"conditions": [ready_condition(now)]}}).to_string().into_bytes();
            let op = Op::Patch {
                gvr: NODES,
                namespace: String::new(),
                name: self.machine.name.clone(),
                sub: "status",
                kind: PatchKind::Strategic,
                body,
            };
            self.send(Sent::Status, op, out);
        }
        if !self.busy_lease && self.lease_at <= now {
            self.busy_lease = true;
            self.lease_at = after(now, Duration::from_secs(10));
            let op = self.lease(&node, now);
            self.send(Sent::Lease, op, out);
        }
    }

    fn lease(&self, node: &Node, now: Timestamp) -> Op {
        let name = self.machine.name.clone();
        let namespace = LEASE_NAMESPACE.to_owned();
        let renew = rfc3339_micro(now);
        if self.leased {
            let body = json!({"spec": {"renewTime": renew}}).to_string().into_bytes();
            return Op::Patch { gvr: LEASES, namespace, name, sub: "", kind: PatchKind::Merge, body };
        }
        let body = json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid}]},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renew}});
        Op::Create { gvr: LEASES, namespace, name, body: body.to_string().into_bytes() }
    }
}

fn ready_condition(now: Timestamp) -> Value {
    json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
        "lastHeartbeatTime": rfc3339(now), "lastTransitionTime": rfc3339(now)})
}

fn reported(l: &Local, pod: &Pod) -> bool {
    &*pod.status.phase == "Running"
        && pod.ready() == (l.stage == Stage::Ready)
        && (l.stage != Stage::Ready || pod.ready_since() == Some(whole_seconds(l.since)))
        && *pod.status.pod_ip == *l.ip
}

fn status(l: &Local, uid: &str) -> Op {
    let ready = if l.stage == Stage::Ready { "True" } else { "False" };
    let since = rfc3339(l.since);
    let is = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": since});
    let body = json!({"metadata": {"uid": uid}, "status": {
        "phase": "Running",
        "podIP": l.ip, "podIPs": [{"$patch": "replace"}, {"ip": l.ip}],
        "conditions": [is("Initialized", "True"), is("ContainersReady", ready), is("Ready", ready)],
        "containerStatuses": [{"name": "main", "image": "web", "imageID": "", "ready": ready == "True",
            "restartCount": l.restarts}],
    }});
    Op::Patch {
        gvr: PODS,
        namespace: l.key.namespace.to_string(),
        name: l.key.name.to_string(),
        sub: "status",
        kind: PatchKind::Strategic,
        body: body.to_string().into_bytes(),
    }
}

fn delete(l: &Local, uid: &Arc<str>) -> Op {
    Op::Delete {
        gvr: PODS,
        namespace: l.key.namespace.to_string(),
        name: l.key.name.to_string(),
        uid: Some(uid.clone()),
        resource_version: None,
        grace_period_seconds: Some(0),
        propagation: None,
    }
}

impl Process for Hollow {
    fn feeds(&self) -> Vec<FeedSpec> {
        let name = &self.machine.name;
        vec![
            FeedSpec { field_selector: format!("spec.nodeName={name}"), ..FeedSpec::all(PODS) },
            FeedSpec { field_selector: format!("metadata.name={name}"), ..FeedSpec::all(NODES) },
        ]
    }

    fn apply(&mut self, feed: usize, event: RawEvent, now: Timestamp) {
        if feed == 0 {
            deltas(&mut self.pods, event, &mut self.notes);
            self.admit(now);
        } else {
            deltas(&mut self.nodes, event, &mut self.notes);
        }
    }

    fn answer(&mut self, token: u64, result: Result<Answer, Status>, now: Timestamp) {
        let retry = after(now, Duration::from_secs(1));
        match self.sent.remove(&token) {
            Some(Sent::Pod(uid)) => {
                let Some(l) = self.local.get_mut(&uid) else { return };
                l.in_flight = false;
                match result {
                    Ok(Answer::Object(b)) if l.stage != Stage::Stopped => {
                        let written =
                            reconcile::Partial::parse(&b).map_or(0, |p| p.metadata.resource_version);
                        l.wrote = written;
                    }
                    Ok(_) => l.not_before = retry,
                    Err(_) => l.not_before = retry,
                }
            }
            Some(Sent::Register) => {
                self.busy_register = false;
                self.node_at = retry;
                self.registered = result.is_ok() || result.is_err_and(|e| e.is("AlreadyExists"));
            }
            Some(Sent::Status) => {
                self.busy_status = false;
                self.node_at = retry;
            }
            Some(Sent::Lease) => {
                self.busy_lease = false;
                match result {
                    Ok(_) => self.leased = true,
                    Err(e) if e.is("NotFound") => (self.leased, self.lease_at) = (false, retry),
                    Err(e) if e.is("AlreadyExists") => (self.leased, self.lease_at) = (true, retry),
                    Err(_) => self.lease_at = retry,
                }
            }
            None => {}
        }
    }

    fn turn(&mut self, now: Timestamp, out: &mut Vec<Outgoing>) {
        self.turned = now;
        self.progress(now);
        if self.pods.synced() && self.nodes.synced() {
            self.keep_node(now, out);
            self.report(now, out);
        }
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let ends = self.local.values().filter_map(|l| l.until);
        let retries = self.local.values().filter(|l| !l.in_flight).map(|l| l.not_before);
        let node = (!self.busy_status && !self.busy_register).then_some(self.node_at);
        let lease = (self.registered && !self.busy_lease).then_some(self.lease_at);
        ends.chain(retries).chain(node).chain(lease).filter(|t| *t > self.turned).min()
    }

    fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    fn busy(&self) -> Option<String> {
        let l = self.local.values().find(|l| matches!(l.stage, Stage::Stopping | Stage::Stopped))?;
        Some(format!("{} still stops {}", self.machine.name, l.key))
    }

    /// The containers outlive the kubelet.
    fn restarted(&self, seed: u64, _at: Timestamp) -> Box<dyn Process> {
        let mut next = Hollow::new(self.machine.clone(), seed);
        next.next_ip = self.next_ip;
        next.local.clone_from(&self.local);
        for l in next.local.values_mut() {
            (l.in_flight, l.wrote) = (false, 0);
        }
        Box::new(next)
    }
}

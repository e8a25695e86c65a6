//! The real scheduler in the shell that the binary gives it, without I/O: events in, binds and status out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use control::RawEvent;
use jiff::Timestamp;
use meta::{Gvr, Status};
use reconcile::time::after;
use reconcile::{Answer, Key, KindCache, Op, Partial, PatchKind, Projection};
use scheduler::writes;
use scheduler::{Decision, Engine, Node, Pod, Refusal};

use super::{FeedSpec, Note, Outgoing, Process};
use crate::judge::Seen;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const NODES: Gvr = Gvr::new("", "v1", "nodes");
/// Writes at a time.
const IN_FLIGHT: usize = 64;
/// How often a pod is read whose bind got no clear answer, and the shortest and longest pause between.
const LOOKS: u32 = 10;
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

enum Sent {
    Bind(Look),
    /// A pod whose bind got no clear answer is read.
    Look(Look),
    /// A pod is told that it goes for another one, and is deleted then.
    Doom(Key, Arc<str>),
    Other,
}

/// A pod that is being bound, and how often it was read in vain.
struct Look {
    key: Key,
    uid: Arc<str>,
    failures: u32,
}

/// See the module.
pub struct Schedule {
    /// A mistake on purpose: a pod does not count as placed before it is seen there.
    forgetful: bool,
    engine: Engine,
    pods: KindCache<Pod>,
    nodes: KindCache<Node>,
    sent: BTreeMap<u64, Sent>,
    next_token: u64,
    /// Reads to send again, by when.
    later: Vec<(Timestamp, Look)>,
    outbox: Vec<Outgoing>,
    notes: Vec<Note>,
}

impl Schedule {
    /// A scheduler that knows nothing yet.
    #[must_use]
    pub fn new(seed: u64, forgetful: bool) -> Self {
        Schedule {
            forgetful,
            engine: Engine::new("default-scheduler", seed),
            pods: KindCache::default(),
            nodes: KindCache::default(),
            sent: BTreeMap::new(),
            next_token: 0,
            later: Vec::new(),
            outbox: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn send(&mut self, what: Sent, op: Op) {
        self.next_token += 1;
        self.sent.insert(self.next_token, what);
        let seen = Seen { pods: self.pods.seen(), ..Seen::ALL };
        let decided = Some(("scheduler", seen));
        self.outbox.push(Outgoing { token: self.next_token, op: Arc::new(op), user: None, decided });
    }

    fn decided(&mut self, decision: Decision, now: Timestamp) {
        match decision {
            Decision::Bind { pod, uid, node } => {
                if self.forgetful {
                    self.engine.bound(&uid, false, now);
                }
                self.bind(&pod, uid, &node);
            }
            Decision::Unschedulable(refusal) => self.unschedulable(&refusal, now),
        }
    }

    fn bind(&mut self, pod: &Key, uid: Arc<str>, node: &str) {
        let op = Op::CreateSub {
            gvr: PODS,
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
            sub: "binding",
            body: writes::binding(pod, &uid, node),
        };
        self.send(Sent::Bind(Look { key: pod.clone(), uid, failures: 0 }), op);
    }

    /// Asks whether a bind was done that got no clear answer; the pod counts as placed meanwhile.
    fn look(&mut self, look: Look) {
        let (namespace, name) = (look.key.namespace.to_string(), look.key.name.to_string());
        self.send(Sent::Look(look), Op::Get { gvr: PODS, namespace, name, sub: "" });
    }

    fn bind_answered(&mut self, look: Look, result: &Result<Answer, Status>, now: Timestamp) {
        match result {
            Err(e) if e.code == 0 || e.code >= 500 => self.look(look),
            Err(e) => self.engine.bound(&look.uid, e.is("NotFound"), now),
            Ok(_) => self.engine.bound(&look.uid, true, now),
        }
    }

    fn looked(&mut self, look: Look, result: &Result<Answer, Status>, now: Timestamp) {
        let ok = match result {
            Ok(Answer::Object(bytes)) => meta::json::read::<Pod>(bytes)
                .is_ok_and(|p| p.metadata.uid != look.uid || !p.spec.node_name.is_empty()),
            Err(e) if e.is("NotFound") => true,
            Err(_) if look.failures + 1 < LOOKS => {
                let pause = LOOK_AGAIN.0.saturating_mul(1 << look.failures.min(16)).min(LOOK_AGAIN.1);
                self.later.push((after(now, pause), Look { failures: look.failures + 1, ..look }));
                return;
            }
            Ok(_) | Err(_) => false,
        };
        self.engine.bound(&look.uid, ok, now);
    }

    fn unschedulable(&mut self, refusal: &Refusal, now: Timestamp) {
        let Refusal { pod, uid, message, .. } = refusal;
        self.notes.push(Note::Line(format!("unschedulable {pod}: {message}")));
        let body = writes::refused(uid, &refusal.tell(), refusal.told.as_deref(), refusal.nomination(), now);
        if let Some(body) = body {
            self.send(Sent::Other, status(pod, body));
        }
        let Some(preemption) = &refusal.preemption else { return };
        for (other, uid) in &preemption.displaced {
            self.send(Sent::Other, status(other, writes::displaced(uid)));
        }
        for (victim, uid) in &preemption.victims {
            let doom = Sent::Doom(victim.clone(), uid.clone());
            self.send(doom, status(victim, writes::doomed(uid, "default-scheduler", now)));
        }
    }

    /// Writes and reads that are not over.
    fn waiting(&self) -> usize {
        self.sent.len() + self.later.len()
    }

    fn pod_changed(&mut self, delta: &reconcile::Delta<Pod>, now: Timestamp) {
        match (&delta.old, &delta.new) {
            (_, Some(new)) => self.engine.pod_applied(new, now),
            (Some(old), None) => self.engine.pod_deleted(&old.metadata.key(), &old.metadata.uid, now),
            (None, None) => {}
        }
    }

    fn node_changed(&mut self, delta: &reconcile::Delta<Node>, now: Timestamp) {
        match (&delta.old, &delta.new) {
            (_, Some(new)) => self.engine.node_applied(new.clone(), now),
            (Some(old), None) => self.engine.node_deleted(&old.metadata.name),
            (None, None) => {}
        }
    }
}

fn status(pod: &Key, body: Vec<u8>) -> Op {
    Op::Patch {
        gvr: PODS,
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        sub: "status",
        kind: PatchKind::Strategic,
        body,
    }
}

fn delete(victim: &Key, uid: Arc<str>) -> Op {
    Op::Delete {
        gvr: PODS,
        namespace: victim.namespace.to_string(),
        name: victim.name.to_string(),
        uid: Some(uid),
        resource_version: None,
        grace_period_seconds: None,
        propagation: None,
    }
}

/// Applies an event to a cache of one kind.
pub(super) fn deltas<P: Projection>(
    cache: &mut KindCache<P>,
    event: RawEvent,
    notes: &mut Vec<Note>,
) -> Vec<reconcile::Delta<P>> {
    let mut parse = |b: &[u8]| match meta::json::read::<P>(b) {
        Ok(o) => Some(o),
        Err(e) => {
            notes.push(Note::Broken(format!("{} cannot be read: {e}", P::GVR)));
            None
        }
    };
    match event {
        RawEvent::Replaced { items, revision } => {
            let objects = items.iter().filter_map(|b| parse(b)).collect();
            cache.replace(objects, revision)
        }
        RawEvent::Applied(b) => parse(&b).map(|o| cache.upsert(o)).into_iter().collect(),
        RawEvent::Deleted(b) => match Partial::parse(&b) {
            Ok(p) => vec![cache.remove(&p.metadata.key(), p.metadata.resource_version)],
            Err(_) => Vec::new(),
        },
        RawEvent::Progress(revision) => {
            cache.advance(revision);
            Vec::new()
        }
    }
}

impl Process for Schedule {
    fn feeds(&self) -> Vec<FeedSpec> {
        vec![FeedSpec::all(NODES), FeedSpec::all(PODS)]
    }

    fn apply(&mut self, feed: usize, event: RawEvent, now: Timestamp) {
        if feed == 0 {
            for d in deltas(&mut self.nodes, event, &mut self.notes) {
                self.node_changed(&d, now);
            }
        } else {
            for d in deltas(&mut self.pods, event, &mut self.notes) {
                self.pod_changed(&d, now);
            }
        }
    }

    fn answer(&mut self, token: u64, result: Result<Answer, Status>, now: Timestamp) {
        match self.sent.remove(&token) {
            Some(Sent::Bind(look)) => self.bind_answered(look, &result, now),
            Some(Sent::Look(look)) => self.looked(look, &result, now),
            Some(Sent::Doom(victim, uid)) => {
                if !result.is_err_and(|e| e.is("NotFound")) {
                    self.send(Sent::Other, delete(&victim, uid));
                }
            }
            Some(Sent::Other) | None => {}
        }
    }

    fn turn(&mut self, now: Timestamp, out: &mut Vec<Outgoing>) {
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
        self.later = later;
        let due: Vec<(Timestamp, Look)> = due;
        due.into_iter().for_each(|(_, look)| self.look(look));
        if self.nodes.synced() && self.pods.synced() {
            while self.waiting() < IN_FLIGHT {
                let Some(decision) = self.engine.next(now) else { break };
                self.decided(decision, now);
            }
        }
        out.append(&mut self.outbox);
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let ready = self.nodes.synced() && self.pods.synced() && self.waiting() < IN_FLIGHT;
        let looks = self.later.iter().map(|(at, _)| *at).min();
        self.engine.next_wake().filter(|_| ready).into_iter().chain(looks).min()
    }

    fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    fn busy(&self) -> Option<String> {
        let pending = self.engine.pending();
        let waiting = self.waiting();
        (pending > 0 || waiting > 0)
            .then(|| format!("the scheduler holds {pending} pods and waits for {waiting} answers"))
    }

    fn restarted(&self, seed: u64, _at: Timestamp) -> Box<dyn Process> {
        Box::new(Schedule::new(seed, self.forgetful))
    }
}

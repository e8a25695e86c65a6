//! Runs the scheduler: events in, binds, deletions and status out. Binds are in flight while the next pod is
//! decided.

use std::sync::Arc;
use std::time::Duration;

use client::{Api, DeleteOptions, Patch};
use control::{Context, Recorder, ReflectEvent, Selection, reflect};
use meta::Gvr;
use reconcile::{EventRecord, Key, ObjectReference, Projection};
use scheduler::writes::{self, Nomination};
use scheduler::{Budget, Decision, Engine, Namespace, Node, Pod, Preemption, Refusal, Told};
use tokio::sync::{Semaphore, mpsc};

use crate::supervise::broken_off;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const COMPONENT: &str = "default-scheduler";
/// Writes at a time.
const IN_FLIGHT: usize = 64;
/// Decisions between two looks at the events.
const BURST: usize = 32;
/// How often a pod is read whose bind got no clear answer, and the shortest and longest pause between.
const LOOKS: u32 = 10;
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A sleep that stands for "until something happens".
const IDLE: Duration = Duration::from_secs(60);

struct Bound {
    uid: Arc<str>,
    ok: bool,
}

/// Runs until the context is stopped, or what it follows breaks off. `name` is the schedulerName to serve.
pub async fn run(ctx: &Context, name: &str) {
    let mut engine = Engine::new(name, ctx.entropy.next_u64());
    let mut nodes = reflect::<Node>(ctx, Selection::default());
    let mut pods = reflect::<Pod>(ctx, Selection::default());
    let mut namespaces = reflect::<Namespace>(ctx, Selection::default());
    let mut budgets = reflect::<Budget>(ctx, Selection::default());
    let shell = Shell {
        ctx: ctx.clone(),
        name: name.into(),
        recorder: Recorder::new(ctx, ""),
        permits: Arc::new(Semaphore::new(IN_FLIGHT)),
    };
    let (done, mut results) = mpsc::channel::<Bound>(IN_FLIGHT * 2);
    let mut known = [false; 4];
    loop {
        let now = ctx.now();
        let ready = known == [true; 4] && shell.permits.available_permits() > 0;
        let wake = engine.next_wake().filter(|_| ready);
        let sleep = wake.map_or(IDLE, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        tokio::select! {
            biased;
            () = ctx.stop.cancelled() => return,
            Some(r) = results.recv() => engine.bound(&r.uid, r.ok, ctx.now()),
            e = namespaces.recv() => match e {
                Some(e) => known[0] |= namespace_event(&mut engine, e),
                None => return,
            },
            e = budgets.recv() => match e {
                Some(e) => known[1] |= budget_event(&mut engine, e),
                None => return,
            },
            e = nodes.recv() => match e {
                Some(e) => known[2] |= node_event(&mut engine, e, now),
                None => return,
            },
            e = pods.recv() => match e {
                Some(e) => known[3] |= pod_event(&mut engine, e, now),
                None => return,
            },
            () = tokio::time::sleep(sleep) => {
                if ready {
                    shell.decide(&mut engine, &done).await;
                }
            }
        }
    }
}

fn node_event(engine: &mut Engine, event: ReflectEvent<Node>, now: jiff::Timestamp) -> bool {
    match event {
        ReflectEvent::Applied(n, _) => engine.node_applied(n, now),
        ReflectEvent::Deleted(n) => engine.node_deleted(&n.metadata.name),
        ReflectEvent::Synced => return true,
    }
    false
}

fn pod_event(engine: &mut Engine, event: ReflectEvent<Pod>, now: jiff::Timestamp) -> bool {
    match event {
        ReflectEvent::Applied(p, _) => engine.pod_applied(&p, now),
        ReflectEvent::Deleted(p) => engine.pod_deleted(&p.metadata.key(), &p.metadata.uid, now),
        ReflectEvent::Synced => return true,
    }
    false
}

fn namespace_event(engine: &mut Engine, event: ReflectEvent<Namespace>) -> bool {
    match event {
        ReflectEvent::Applied(n, _) => engine.namespace_applied(&n.metadata.name, &n.metadata.labels),
        ReflectEvent::Deleted(n) => engine.namespace_deleted(&n.metadata.name),
        ReflectEvent::Synced => return true,
    }
    false
}

fn budget_event(engine: &mut Engine, event: ReflectEvent<Budget>) -> bool {
    match event {
        ReflectEvent::Applied(b, _) => engine.budget_applied(b),
        ReflectEvent::Deleted(b) => engine.budget_deleted(&b.meta().key()),
        ReflectEvent::Synced => return true,
    }
    false
}

#[derive(Clone)]
struct Shell {
    ctx: Context,
    /// The schedulerName that it serves.
    name: Arc<str>,
    recorder: Recorder,
    permits: Arc<Semaphore>,
}

impl Shell {
    async fn decide(&self, engine: &mut Engine, done: &mpsc::Sender<Bound>) {
        for _ in 0..BURST {
            if self.permits.available_permits() == 0 {
                return;
            }
            let Some(decision) = engine.next(self.ctx.now()) else { return };
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            let (shell, done) = (self.clone(), done.clone());
            tokio::spawn(async move {
                match decision {
                    Decision::Bind { pod, uid, node } => {
                        let (key, of) = (pod.clone(), uid.clone());
                        // A task of its own, so that a pod whose bind breaks off is not taken for placed for ever.
                        let bind = tokio::spawn(async move { shell.bind(&key, &of, &node).await });
                        let ok = bind.await.unwrap_or_else(|e| {
                            tracing::error!("binding {pod} broke off: {}", broken_off(e));
                            false
                        });
                        drop(permit);
                        // The receiver is gone only when the scheduler stops.
                        let _ = done.send(Bound { uid, ok }).await;
                    }
                    Decision::Unschedulable(refusal) => {
                        shell.unschedulable(*refusal).await;
                        drop(permit);
                    }
                }
            });
        }
    }

    fn api(&self, key: &Key) -> Api<'_> {
        Api::new(self.ctx.client.as_ref(), PODS, &key.namespace)
    }

    fn event(&self, warning: bool, key: &Key, uid: &str, reason: &'static str, message: String) {
        let about = ObjectReference {
            kind: "Pod".to_owned(),
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            uid: uid.to_owned(),
            api_version: "v1".to_owned(),
            ..ObjectReference::default()
        };
        let record = if warning {
            EventRecord::warning(about, reason, message)
        } else {
            EventRecord::normal(about, reason, message)
        };
        self.recorder.record(COMPONENT, record);
    }

    async fn bind(&self, key: &Key, uid: &str, node: &str) -> bool {
        let body = writes::binding(key, uid, node);
        let answer = self.api(key).create_subresource(&key.name, "binding", body).await;
        match answer {
            Ok(_) => {
                let message = format!("Successfully assigned {key} to {node}");
                self.event(false, key, uid, "Scheduled", message);
                true
            }
            // The pod went while it was being bound: nothing to retry, its deletion arrives as an event.
            Err(e) if e.is("NotFound") => true,
            Err(e) if e.code == 0 || e.code >= 500 => {
                tracing::warn!("binding {key} to {node}: {e}; looking whether it was done");
                self.bound(key, uid).await
            }
            Err(e) => {
                tracing::warn!("binding {key} to {node}: {e}");
                let message = format!("binding rejected: {}", e.message);
                let told = Told { reason: "SchedulerError".into(), message: message.as_str().into() };
                self.event(true, key, uid, "FailedScheduling", message);
                // Whether it was told anything before is not known here.
                let body = writes::refused(uid, &told, None, Nomination::Keep, self.ctx.now());
                self.status(key, body).await;
                false
            }
        }
    }

    /// Whether a pod whose bind got no clear answer is bound or gone. Until that is known the pod counts as
    /// placed: giving its room away too early would fill the node twice.
    async fn bound(&self, key: &Key, uid: &str) -> bool {
        for failures in 0..LOOKS {
            match self.api(key).get(&key.name).await {
                Ok(bytes) => {
                    let Ok(pod) = meta::json::read::<Pod>(&bytes) else { return false };
                    return *pod.metadata.uid != *uid || !pod.spec.node_name.is_empty();
                }
                Err(e) if e.is("NotFound") => return true,
                Err(e) => tracing::warn!("reading {key} after a bind without an answer: {e}"),
            }
            if !self.ctx.sleep(self.ctx.backoff(LOOK_AGAIN.0, LOOK_AGAIN.1, failures)).await {
                return false;
            }
        }
        false
    }

    async fn unschedulable(&self, refusal: Refusal) {
        let Refusal { pod: key, uid, .. } = &refusal;
        self.event(true, key, uid, "FailedScheduling", refusal.message.clone());
        let (told, nomination) = (refusal.told.as_deref(), refusal.nomination());
        self.status(key, writes::refused(uid, &refusal.tell(), told, nomination, self.ctx.now())).await;
        let Some(Preemption { node, victims, displaced }) = &refusal.preemption else { return };
        for (other, other_uid) in displaced {
            self.status(other, Some(writes::displaced(other_uid))).await;
        }
        for (victim, victim_uid) in victims {
            self.preempt(uid, node, victim, victim_uid).await;
        }
    }

    /// Patches the status of a pod, if there is anything to say.
    async fn status(&self, key: &Key, body: Option<Vec<u8>>) {
        let Some(body) = body else { return };
        if let Err(e) = self.api(key).patch(&key.name, "status", Patch::Strategic(body)).await
            && !e.is("NotFound")
        {
            tracing::warn!("status of {key}: {e}");
        }
    }

    async fn preempt(&self, by: &str, node: &str, victim: &Key, uid: &str) {
        self.status(victim, Some(writes::doomed(uid, &self.name, self.ctx.now()))).await;
        let options = DeleteOptions { uid: Some(uid.to_owned()), ..DeleteOptions::default() };
        match self.api(victim).delete(&victim.name, &options).await {
            Ok(_) => {
                let message = format!("Preempted by pod {by} on node {node}");
                self.event(false, victim, uid, "Preempted", message);
            }
            Err(e) if e.is("NotFound") => {}
            Err(e) => tracing::warn!("preempting {victim}: {e}"),
        }
    }
}

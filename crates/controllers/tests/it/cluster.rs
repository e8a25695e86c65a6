//! Engines, caches and hollow nodes around the server, one seeded step at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use controllers::{Config, all};
use jiff::Timestamp;
use meta::{Gvr, Status};
use reconcile::{Answer, Caches, Change, Discovery, Engine, Partial, ResourceInfo, WorkId, time};
use serde_json::{Value, json};

use crate::server::Server;

pub const PODS: Gvr = Gvr::new("", "v1", "pods");
pub const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
pub const SERVICES: Gvr = Gvr::new("", "v1", "services");
pub const SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
pub const DEPLOYMENTS: Gvr = Gvr::new("apps", "v1", "deployments");
pub const REPLICASETS: Gvr = Gvr::new("apps", "v1", "replicasets");

const SERVED: [(Gvr, &str, bool); 10] = [
    (PODS, "Pod", true),
    (NAMESPACES, "Namespace", false),
    (SERVICES, "Service", true),
    (SLICES, "EndpointSlice", true),
    (DEPLOYMENTS, "Deployment", true),
    (REPLICASETS, "ReplicaSet", true),
    (Gvr::new("", "v1", "endpoints"), "Endpoints", true),
    (Gvr::new("", "v1", "configmaps"), "ConfigMap", true),
    (Gvr::new("", "v1", "serviceaccounts"), "ServiceAccount", true),
    (Gvr::new("example.com", "v1", "widgets"), "Widget", true),
];

/// Where a daemon set's pod says on which node it must be.
pub const PINNED: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
    /nodeSelectorTerms/0/matchFields/0/values/0";

pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

pub struct Cluster {
    pub server: Server,
    pub rng: Rng,
    /// Lost requests and answers, restarts.
    pub faults: bool,
    only: &'static [&'static str],
    caches: Caches,
    engines: Vec<Engine>,
    cursor: usize,
    answers: Vec<(usize, WorkId, Result<Answer, Status>)>,
}

impl Cluster {
    /// With the controllers of these names.
    pub fn new(seed: u64, only: &'static [&'static str]) -> Self {
        let mut server = Server { now: Timestamp::from_second(1_700_000_000).unwrap(), ..Server::default() };
        let node = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}});
        server.create(&Gvr::new("", "v1", "nodes"), "", node).unwrap();
        let mut c = Cluster {
            server,
            rng: Rng::new(seed),
            faults: false,
            only,
            caches: Caches::default(),
            engines: Vec::new(),
            cursor: 0,
            answers: Vec::new(),
        };
        c.restart();
        c
    }

    /// The controllers' process starts again: new caches from a list, new engines.
    pub fn restart(&mut self) {
        let config = Config::new("CA");
        let mut caches = Caches::default();
        let mut engines: Vec<Engine> =
            all(&config).into_iter().filter(|r| self.only.contains(&r.name)).map(|r| r.engine).collect();
        for e in &engines {
            e.interests().decls().iter().for_each(|d| caches.register(*d));
        }
        let revision = self.server.revision;
        for cache in caches.iter_mut() {
            let items: Vec<Bytes> =
                self.server.list(&cache.gvr(), "").iter().map(|v| Bytes::from(v.to_string())).collect();
            let (_, errors) = cache.replace_bytes(&items, revision);
            assert!(errors.is_empty(), "{errors:?}");
            cache.advance_to(revision);
        }
        let verbs = ["list", "watch", "delete", "deletecollection"].map(str::to_owned).to_vec();
        let info = |(gvr, kind, namespaced): &(Gvr, &str, bool)| ResourceInfo {
            gvr: gvr.clone(),
            kind: (*kind).into(),
            namespaced: *namespaced,
            verbs: verbs.clone(),
        };
        caches.discovery = Discovery::new(SERVED.iter().map(info).collect(), vec![], vec![]);
        for (gvr, kind, _) in &SERVED {
            let items = self.server.list(gvr, "");
            let parsed = items.iter().map(|v| Partial::parse(v.to_string().as_bytes()).unwrap()).collect();
            caches.graph.replace(&Arc::new(gvr.clone()), &Arc::from(*kind), parsed, revision);
        }
        for e in &mut engines {
            assert!(e.ready(&caches));
            e.start(&caches);
        }
        (self.caches, self.engines) = (caches, engines);
        self.cursor = self.server.log.len();
        self.answers.clear();
    }

    /// One watch event reaches the caches; at the end of the log, a bookmark does.
    pub fn deliver(&mut self) -> bool {
        let Some(event) = self.server.log.get(self.cursor).cloned() else {
            let revision = self.server.revision;
            let mut changes: Vec<Change> = Vec::new();
            for cache in self.caches.iter_mut() {
                changes.push(cache.advance_to(revision));
            }
            for (gvr, ..) in &SERVED {
                self.caches.graph.note(&Arc::new(gvr.clone()), revision);
                changes.push(Change::progress(gvr.clone()));
            }
            self.tell(&changes);
            return false;
        };
        self.cursor += 1;
        let text = event.object.to_string();
        let mut changes = Vec::new();
        for cache in self.caches.iter_mut().filter(|c| c.gvr() == event.gvr) {
            let applied = if event.deleted {
                cache.delete_bytes(text.as_bytes())
            } else {
                cache.upsert_bytes(text.as_bytes())
            };
            changes.extend(applied.unwrap());
        }
        if let Some((gvr, kind, _)) = SERVED.iter().find(|(g, ..)| *g == event.gvr) {
            let m = Partial::parse(text.as_bytes()).unwrap().metadata;
            let gvr = Arc::new(gvr.clone());
            if event.deleted {
                changes.extend(self.caches.graph.remove(&gvr, &m.key(), event.revision));
            } else {
                changes.extend(self.caches.graph.upsert(&gvr, &Arc::from(*kind), m));
            }
        }
        self.tell(&changes);
        true
    }

    fn tell(&mut self, changes: &[Change]) {
        for e in &mut self.engines {
            changes.iter().for_each(|c| e.on_change(c, &self.caches));
        }
    }

    /// One engine sends one operation, which may get lost on the way there or back.
    pub fn work(&mut self) -> bool {
        let i = self.rng.below(self.engines.len() as u64) as usize;
        let Some(work) = self.engines[i].next(self.server.now, &self.caches) else { return false };
        let fate = if self.faults { self.rng.below(12) } else { 99 };
        let result = match fate {
            0 => Err(Status::unavailable("lost on the way there")),
            1 => {
                let _ = self.server.execute(&work.op);
                Err(Status::timeout("lost on the way back"))
            }
            _ => self.server.execute(&work.op),
        };
        self.answers.push((i, work.id, result));
        true
    }

    fn answer(&mut self) -> bool {
        if self.answers.is_empty() {
            return false;
        }
        let i = self.rng.below(self.answers.len() as u64) as usize;
        let (engine, id, result) = self.answers.swap_remove(i);
        self.engines[engine].done(id, result, self.server.now);
        true
    }

    /// A node does something for a pod: takes it, starts it, stops it.
    pub fn hollow(&mut self) {
        let pods: Vec<_> = self.server.objects.keys().filter(|(g, ..)| *g == PODS).cloned().collect();
        if pods.is_empty() {
            return;
        }
        let place = pods[self.rng.below(pods.len() as u64) as usize].clone();
        let pod = self.server.objects[&place].clone();
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            self.server.pod_stopped(&place);
        } else if pod["spec"]["nodeName"].is_null() {
            let node = pod.pointer(PINNED).and_then(Value::as_str).unwrap_or("n1");
            let bound = json!({"spec": {"nodeName": node}});
            self.server.patch(&place, "", reconcile::PatchKind::Merge, &bound).unwrap();
        } else if pod["status"]["phase"] == "Pending" {
            let ip = format!("10.0.{}.{}", self.server.revision / 250 % 250, self.server.revision % 250 + 1);
            let status = json!({"status": {
                "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                "conditions": [{
                    "type": "Ready", "status": "True", "lastTransitionTime": time::rfc3339(self.server.now),
                }],
            }});
            self.server.patch(&place, "status", reconcile::PatchKind::Merge, &status).unwrap();
        }
    }

    /// Whether a pod waits for its node to start it.
    fn pods_wait(&self) -> bool {
        let pods = self.server.objects.iter().filter(|((g, ..), _)| *g == PODS).map(|(_, p)| p);
        pods.filter(|p| p["metadata"]["deletionTimestamp"].is_null())
            .any(|p| p["spec"]["nodeName"].is_null() || p["status"]["phase"] == "Pending")
    }

    /// One random step.
    pub fn step(&mut self) {
        match self.rng.below(12) {
            0..=3 => {
                self.deliver();
            }
            4..=6 => {
                self.work();
            }
            7..=8 => {
                self.answer();
            }
            9 => self.hollow(),
            10 => self.server.now = time::after(self.server.now, Duration::from_millis(20)),
            _ => {
                if self.faults && self.rng.below(60) == 0 {
                    self.restart();
                }
            }
        }
    }

    /// Steps without faults until nothing changes any more.
    pub fn settle(&mut self) {
        self.faults = false;
        let mut quiet = 0;
        for _ in 0..200_000 {
            let before = self.server.revision;
            let mut busy = self.deliver() | self.work() | self.answer();
            self.hollow();
            busy |= self.server.revision != before || self.pods_wait();
            if busy {
                quiet = 0;
                continue;
            }
            quiet += 1;
            self.server.now = time::after(self.server.now, Duration::from_millis(50));
            if quiet > 200 {
                return;
            }
        }
        let tail: Vec<_> = self.server.log.iter().rev().take(3).map(|e| e.object.to_string()).collect();
        panic!("never quiet; last writes: {tail:#?}");
    }

    pub fn get(&self, gvr: &Gvr, namespace: &str, name: &str) -> Option<&Value> {
        self.server.objects.get(&(gvr.clone(), namespace.to_owned(), name.to_owned()))
    }

    pub fn events(&mut self) -> Vec<String> {
        let all = self.engines.iter_mut().flat_map(Engine::take_events);
        all.map(|e| format!("{} {}", e.reason, e.message)).collect()
    }

    pub fn failures(&mut self) -> Vec<String> {
        let all = self.engines.iter_mut().flat_map(Engine::take_failures);
        all.map(|(k, op, s)| format!("{k}: {} {}: {s}", op.verb(), op.gvr())).collect()
    }
}

/// Pods that are not being deleted, and those of them that are ready.
pub fn live_pods(c: &Cluster) -> (usize, usize) {
    let live: Vec<Value> = c
        .server
        .list(&PODS, "")
        .into_iter()
        .filter(|p| p["metadata"]["deletionTimestamp"].is_null())
        .collect();
    let ready = live.iter().filter(|p| p["status"]["conditions"][0]["status"] == "True").count();
    (live.len(), ready)
}

pub fn deployment(name: &str, replicas: i64, image: &str) -> Value {
    json!({
        "kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": image, "ports": [{"name": "web", "containerPort": 80}]}]},
            },
        },
    })
}

//! A store that takes its time or cannot write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use meta::{BoxFuture, Handler, Verb};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use stdx::block_on;
use store::mem::MemStore;
use store::{Entry, Error, EventSink, Hold, ListOptions, Outcome, Page, Store, Txn, WatchStream};

use crate::harness::{JSON, World};

#[derive(Default)]
struct Slow {
    inner: MemStore,
    /// Transactions wait instead of being run.
    slow: AtomicBool,
    waiting: Mutex<Vec<(Txn, Hold)>>,
    /// What happens before the next transaction comes to the store.
    before: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    broken: AtomicBool,
}

impl Slow {
    /// Runs what waits, or fails it.
    fn decide(&self, run: bool) {
        for (txn, hold) in self.waiting.lock().drain(..) {
            if run {
                block_on(self.inner.txn(txn)).unwrap();
            }
            drop(hold);
        }
    }
}

impl Store for Slow {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        self.inner.get(key)
    }

    fn list<'a>(&'a self, prefix: &'a str, options: ListOptions<'a>) -> BoxFuture<'a, Result<Page, Error>> {
        self.inner.list(prefix, options)
    }

    fn txn(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, Error>> {
        self.txn_holding(txn, Box::new(()))
    }

    fn txn_holding(&self, txn: Txn, hold: Hold) -> BoxFuture<'_, Result<Outcome, Error>> {
        let before = self.before.lock().take();
        if let Some(before) = before {
            before();
        }
        if self.slow.load(Ordering::SeqCst) {
            self.waiting.lock().push((txn, hold));
            return Box::pin(std::future::pending());
        }
        self.inner.txn_holding(txn, hold)
    }

    fn is_alive(&self) -> bool {
        self.inner.is_alive()
    }

    fn is_writable(&self) -> bool {
        !self.broken.load(Ordering::SeqCst)
    }

    fn revision(&self) -> u64 {
        self.inner.revision()
    }

    fn watch<'a>(&'a self, prefix: &'a str, from_revision: u64) -> BoxFuture<'a, Result<WatchStream, Error>> {
        self.inner.watch(prefix, from_revision)
    }

    fn subscribe(&self, sink: &Arc<dyn EventSink>) -> u64 {
        self.inner.subscribe(sink)
    }

    fn compact(&self, revision: u64) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.compact(revision)
    }
}

fn service(name: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30_000}]}})
}

#[test]
fn a_port_stays_held_while_its_write_waits_without_its_client() {
    for commits in [true, false] {
        let store = Arc::new(Slow::default());
        let w = World::with(|c| c.store = store.clone());
        let mut first = w.request(Verb::Create, "services", "default", "");
        first.content_type = JSON.to_owned();
        first.body = service("a").to_string().into();
        store.slow.store(true, Ordering::SeqCst);
        let mut gone = w.server.handle(first);
        assert!(matches!(gone.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        drop(gone);
        store.slow.store(false, Ordering::SeqCst);
        assert_eq!(store.waiting.lock().len(), 1);
        let second = || w.create("services", "default", &service("b"));
        assert!(second().expect(422).message().contains("provided port is already allocated"));
        store.decide(commits);
        if commits {
            second().expect(422);
            w.delete("services", "default", "a", &Json::Null).expect(200);
        }
        second().expect(201);
    }
}

#[test]
fn health_tells_of_a_store_that_cannot_write() {
    let store = Arc::new(Slow::default());
    let w = World::with(|c| c.store = store.clone());
    for (broken, code) in [(false, 200), (true, 500), (false, 200)] {
        store.broken.store(broken, Ordering::SeqCst);
        for path in ["/healthz", "/readyz", "/readyz/etcd"] {
            assert_eq!(w.path(path).code, code, "{path} {broken}");
        }
        for path in ["/livez", "/readyz/ping"] {
            w.path(path).expect(200);
        }
    }
}

fn config_map(name: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

#[test]
fn nothing_is_created_in_a_namespace_that_ends_between_admission_and_commit() {
    let end: fn(&World) = |w| drop(w.delete("namespaces", "", "x", &Json::Null).expect(200));
    let label: fn(&World) = |w| {
        let labels = json!({"metadata": {"labels": {"a": "b"}}});
        w.patch("namespaces", "", "x", "merge", &labels).expect(200);
    };
    for (meanwhile, code) in [(end, 403), (label, 201)] {
        let store = Arc::new(Slow::default());
        let w = World::with(|c| c.store = store.clone());
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}});
        w.create("namespaces", "", &namespace).expect(201);
        let other = w.by("admin", &["system:masters"]);
        *store.before.lock() = Some(Box::new(move || meanwhile(&other)));
        let answer = w.create("configmaps", "x", &config_map("a")).expect(code);
        if code == 403 {
            assert_eq!(answer.at("/details/causes/0/reason"), "NamespaceTerminating");
        }
        let found = if code == 201 { 200 } else { 404 };
        w.get("configmaps", "x", "a").expect(found);
    }
}

#[test]
fn objects_of_a_collection_go_to_the_store_together() {
    let store = Arc::new(Slow::default());
    let w = World::with(|c| c.store = store.clone());
    for number in 0..200 {
        w.create("configmaps", "default", &config_map(&format!("c{number:03}"))).expect(201);
    }
    store.slow.store(true, Ordering::SeqCst);
    let request = w.request(Verb::DeleteCollection, "configmaps", "default", "");
    let mut waiting = w.server.handle(request);
    assert!(matches!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    assert_eq!(store.waiting.lock().len(), 128, "a batch of them waits for one sync");
    drop(waiting);
    store.slow.store(false, Ordering::SeqCst);
    store.decide(true);
    w.send(w.request(Verb::DeleteCollection, "configmaps", "default", "")).expect(200);
    assert_eq!(w.list("configmaps", "default", "").json()["items"].as_array().unwrap().len(), 0);
}

struct Panics;

impl EventSink for Panics {
    fn apply(&self, _: &store::Events) {
        panic!("as a sink must not");
    }
}

#[test]
fn a_sink_that_panicked_is_seen_from_outside() {
    let store = Arc::new(MemStore::default());
    let w = World::with(|c| c.store = store.clone());
    for path in ["/livez", "/healthz", "/readyz"] {
        w.path(path).expect(200);
    }
    let sink: Arc<dyn EventSink> = Arc::new(Panics);
    store.subscribe(&sink);
    for name in ["a", "b"] {
        let refused = w.create("configmaps", "default", &config_map(name)).expect(503);
        assert!(refused.message().contains("must be started again"), "{}", refused.message());
    }
    w.get("configmaps", "default", "b").expect(404);
    for path in ["/livez", "/healthz", "/readyz", "/livez/etcd"] {
        w.path(path).expect(500);
    }
    w.path("/livez/ping").expect(200);
}

#[test]
fn an_event_that_cannot_be_encoded_is_an_error_and_ends_the_watch() {
    let store = Arc::new(MemStore::default());
    let w = World::with(|c| c.store = store.clone());
    let mut request = w.request(Verb::Watch, "configmaps", "default", "");
    request.accept = "application/vnd.kubernetes.protobuf;stream=watch".to_owned();
    let mut watch = crate::harness::Watch { response: w.raw(request) };
    let _ = watch.bytes();
    let broken =
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"default"},"data":5}"#;
    block_on(store.txn(Txn::create("/registry/configmaps/default/a", broken))).unwrap();
    w.create("configmaps", "default", &config_map("b")).expect(201);
    let bytes = watch.bytes();
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("ERROR") && has("a stored object cannot be read"), "{}", String::from_utf8_lossy(&bytes));
    assert!(!has("ADDED"), "nothing comes behind it");
}

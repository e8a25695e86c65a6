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
        if self.slow.load(Ordering::SeqCst) {
            self.waiting.lock().push((txn, hold));
            return Box::pin(std::future::pending());
        }
        self.inner.txn_holding(txn, hold)
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

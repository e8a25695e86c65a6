//! The suite for the stores of this crate.

use std::sync::Arc;

use store::mem::MemStore;
use store::redb::{RedbOptions, RedbStore};
use store::{Error, EventSink, Events, HistoryLimits, Store, Txn, suite};
use tempfile::TempDir;

#[test]
fn memory_passes_the_suite() {
    suite::all(&|| Arc::new(MemStore::default()));
}

/// A store together with its directory.
fn redb() -> Arc<dyn Store> {
    let directory = TempDir::new().expect("a directory").keep();
    let options = RedbOptions { history: HistoryLimits::default(), ..RedbOptions::default() };
    Arc::new(RedbStore::open(directory.join("store"), &options).expect("it opens"))
}

macro_rules! redb_passes {
    ($($case:ident),* $(,)?) => {
        $(#[test]
        fn $case() {
            suite::$case(&*redb());
        })*
    };
}

// One test each, so that they run side by side: each write waits for the disk.
redb_passes!(
    revisions_grow_by_one_per_change,
    compares_are_exact,
    guards_are_judged_with_the_compares,
    limits_are_refused,
    watch_from_any_revision_sees_the_rest_once,
    watch_sees_only_its_prefix,
    slow_watcher_is_cut_off,
    compacted_and_future_revisions_are_refused,
    pages_are_of_one_revision,
    sinks_know_before_the_writer,
);

#[test]
fn concurrent_writers_lose_nothing() {
    suite::concurrent_writers_lose_nothing(&redb());
}

#[test]
fn a_restart_loses_nothing() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    suite::restart(&|| Arc::new(RedbStore::open(&path, &RedbOptions::default()).expect("it opens")));
}

struct Panics;

impl EventSink for Panics {
    fn apply(&self, _events: &Events) {
        panic!("a sink must not do this");
    }
}

/// Counts what it is told.
#[derive(Default)]
struct Counts(std::sync::atomic::AtomicUsize);

impl EventSink for Counts {
    fn apply(&self, events: &Events) {
        self.0.fetch_add(events.len(), std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn a_broken_sink_ends_the_writes_is_seen_from_outside_and_loses_nothing() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let redb = RedbStore::open(&path, &RedbOptions::default()).expect("it opens");
    for store in [Arc::new(redb) as Arc<dyn Store>, Arc::new(MemStore::default())] {
        assert!(store.is_alive());
        let panics: Arc<dyn EventSink> = Arc::new(Panics);
        let counts = Arc::new(Counts::default());
        let behind: Arc<dyn EventSink> = counts.clone();
        store.subscribe(&panics);
        store.subscribe(&behind);
        for _ in 0..2 {
            let answer = stdx::block_on(store.txn(Txn::create("/a", "x")));
            assert_eq!(answer, Err(Error::SinkFailed { reason: "a sink must not do this".into() }));
        }
        assert!(!store.is_alive());
        assert_eq!(counts.0.load(std::sync::atomic::Ordering::SeqCst), 1, "the other sink is told");
        assert!(stdx::block_on(store.get("/a")).expect("reads go on").is_some());
    }
    let store = RedbStore::open(&path, &RedbOptions::default()).expect("it opens");
    assert_eq!(store.revision(), 2, "it was durable before the sink was told");
}

/// Tells at its end which revision the sinks had seen by then.
struct Held {
    store: std::sync::Weak<dyn Store>,
    ended: std::sync::mpsc::Sender<u64>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.ended.send(self.store.upgrade().map_or(0, |store| store.revision()));
    }
}

#[test]
fn what_is_held_outlives_a_dropped_future() {
    for store in [redb(), Arc::new(MemStore::default())] {
        let (ended, ends) = std::sync::mpsc::channel();
        for (number, want) in [(0, 2), (1, 3), (2, 3)] {
            // The last one conflicts.
            let key = if number == 0 { "/a" } else { "/b" };
            let hold = Held { store: Arc::downgrade(&store), ended: ended.clone() };
            let mut future = store.txn_holding(Txn::create(key, "x"), Box::new(hold));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = future.as_mut().poll(&mut context);
            drop(future);
            assert_eq!(ends.recv(), Ok(want), "number {number}");
        }
    }
}

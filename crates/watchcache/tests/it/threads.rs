//! Writers, watchers and registrations on several threads over the embedded store.

use std::sync::Arc;

use stdx::block_on;
use store::redb::{RedbOptions, RedbStore};
use store::{Outcome, Store, Txn};
use tempfile::TempDir;
use watchcache::{Filter, Limits, RevisionMatch, Start, WatchCache, WatchItem};

use crate::support::*;

const WRITERS: usize = 4;
const EACH: usize = 40;

fn write(store: &dyn Store, writer: usize, seen: impl Fn(u64)) {
    for number in 0..EACH {
        let path = format!("ns{writer}/p{number}");
        let txn = Txn::create(key(&path), pod(&path, "web", "n1"));
        match block_on(store.txn(txn)).expect("the store works") {
            Outcome::Committed { revision } => seen(revision),
            Outcome::Conflict { .. } => panic!("the key is new"),
        }
    }
}

#[test]
fn watchers_see_all_and_writers_read_their_writes() {
    let directory = TempDir::new().expect("a directory");
    let options = RedbOptions::default();
    let store = RedbStore::open(directory.path().join("store"), &options).expect("it opens");
    let world = over(Arc::new(store), Limits::default());
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let world = &world;
            scope.spawn(move || {
                write(&*world.store, writer, |revision| {
                    let snapshot = world.pods.list(RevisionMatch::NotOlderThan(revision));
                    let snapshot = snapshot.expect("the cache is up to date when the writer is answered");
                    let mine = snapshot.iter(PODS, None).any(|entry| entry.mod_revision() == revision);
                    assert!(mine);
                });
            });
        }
        for _ in 0..3 {
            let world = &world;
            scope.spawn(move || {
                let mut watch = world.watch(Start::Initial { mark_end: false }, Filter::all());
                let mut last = 0;
                for _ in 0..WRITERS * EACH {
                    let Some(Ok(WatchItem::Event(event))) = block_on(watch.next()) else {
                        panic!("the watch broke")
                    };
                    // Present objects come in the order of their keys.
                    assert!(event.revision() != last);
                    last = event.revision();
                }
                assert!(watch.try_next().is_none(), "each change came once");
            });
        }
    });
    assert_eq!(world.pods.len(), WRITERS * EACH);
}

#[test]
fn a_resource_registered_during_writes_misses_nothing() {
    let directory = TempDir::new().expect("a directory");
    let options = RedbOptions::default();
    let store: Arc<dyn Store> =
        Arc::new(RedbStore::open(directory.path().join("store"), &options).expect("it opens"));
    let cache = WatchCache::start(store.clone(), Limits::default(), Arc::new(sys::SystemClock));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &*store;
            scope.spawn(move || write(store, writer, |_| {}));
        }
        for _ in 0..20 {
            let pods = block_on(cache.register(pods_spec())).expect("the prefix is free");
            let snapshot = pods.list(RevisionMatch::Any).expect("it is filled");
            let behind = snapshot.iter(PODS, None).filter(|entry| entry.mod_revision() > snapshot.revision());
            assert_eq!(behind.count(), 0);
            // Every revision but the first is a pod here.
            assert_eq!(snapshot.len() as u64, snapshot.revision() - 1);
            cache.unregister(PODS);
        }
    });
    let pods = block_on(cache.register(pods_spec())).expect("the prefix is free");
    assert_eq!(pods.len(), WRITERS * EACH);
}

//! The file stays in proportion to what it holds, and compacting it loses nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use store::redb::{RedbOptions, RedbStore};
use store::{ListOptions, Op, Outcome, Store, Txn};
use tempfile::TempDir;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// How often a condition is looked at, at most.
const LOOKS: usize = 12_000;

fn open(path: &Path, compact_above_bytes: u64) -> RedbStore {
    let options = RedbOptions { compact_above_bytes, ..RedbOptions::default() };
    RedbStore::open(path, &options).expect("it opens")
}

fn commit(store: &RedbStore, ops: Vec<Op>) -> u64 {
    match stdx::block_on(store.txn(Txn { ops, ..Txn::default() })) {
        Ok(Outcome::Committed { revision }) => revision,
        other => panic!("{other:?}"),
    }
}

fn put(key: usize, byte: u8, size: u64) -> Op {
    Op::Put { key: format!("/k/{key:05}").into(), value: vec![byte; size as usize].into() }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).expect("it is there").len()
}

/// Everything in the store, and its revision.
fn state(store: &RedbStore) -> (Vec<store::Entry>, u64) {
    let page = stdx::block_on(store.list("/", ListOptions::default())).expect("it can be read");
    (page.entries, page.revision)
}

/// Waits until the store has compacted the file by itself.
fn wait_until_below(path: &Path, limit: u64) {
    for _ in 0..LOOKS {
        if size(path) <= limit {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("the file has {} bytes and not {limit}", size(path));
}

/// Overwrites a store of about 1 MiB many times and returns the largest size that the file had.
fn overwrite(path: &Path) -> (u64, RedbStore) {
    const OBJECTS: usize = 500;
    let store = open(path, u64::MAX);
    let mut largest = 0;
    for round in 0..60u8 {
        for group in 0..OBJECTS / 100 {
            // Every round in another order of groups.
            let first = (group * 7 + usize::from(round)) % (OBJECTS / 100) * 100;
            let ops = (first..first + 100).map(|key| put(key, round, 2 * KIB)).collect();
            commit(&store, ops);
        }
        largest = largest.max(size(path));
    }
    (largest, store)
}

#[test]
fn overwriting_uses_freed_pages_again() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let (largest, store) = overwrite(&path);
    // 60 MiB were written. 2 KiB and their head take a page of 4 KiB, which is 2 MiB; redb doubles a full file.
    assert!(largest <= 8 * MIB, "{largest}");
    let before = state(&store);
    store.compact_file().expect("there is room");
    assert!(size(&path) <= 4 * MIB + 64 * KIB, "{}", size(&path));
    assert_eq!(state(&store), before);
}

#[test]
fn a_file_is_compacted_after_a_peak_and_at_a_start() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let (few, many) = (50, 3000);
    let peak = |store: &RedbStore| {
        for first in (0..many).step_by(100) {
            commit(store, (first..first + 100).map(|key| put(key, 1, 3 * KIB)).collect());
        }
        let high = size(&path);
        // What stays is spread over the file, so that redb cannot cut off its end.
        let gone: Vec<usize> = (0..many).filter(|key| key % (many / few) != 0).collect();
        for keys in gone.chunks(50) {
            let ops = keys.iter().map(|key| Op::Delete { key: format!("/k/{key:05}").into() });
            commit(store, ops.collect());
        }
        high
    };
    let store = open(&path, MIB);
    assert!(peak(&store) > 9 * MIB);
    // Where it ends depends on when it was looked at last.
    wait_until_below(&path, 6 * MIB);
    let before = state(&store);
    assert_eq!(before.0.len(), few);
    drop(store);
    let store = open(&path, u64::MAX);
    assert_eq!(state(&store), before, "a restart finds what was copied");
    peak(&store);
    let before = state(&store);
    drop(store);
    assert!(size(&path) > 4 * MIB, "nobody has compacted it");
    let store = open(&path, MIB);
    wait_until_below(&path, 2 * MIB);
    assert_eq!(state(&store), before);
}

#[test]
fn compacting_under_writers_loses_nothing() {
    const WRITERS: usize = 4;
    const STEPS: u64 = 60;
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let store = open(&path, u64::MAX);
    commit(&store, (9000..9100).map(|key| put(key, 0, 4 * KIB)).collect());
    let done = AtomicBool::new(false);
    let mut compacted = 0;
    let wanted = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn({
                    let store = &store;
                    move || write(store, writer, STEPS)
                })
            })
            .collect();
        let (store, finished) = (&store, &done);
        let compactor = scope.spawn(move || {
            let mut count = 0;
            while !finished.load(Ordering::Relaxed) || count < 3 {
                store.compact_file().expect("there is room");
                count += 1;
            }
            count
        });
        let all: BTreeMap<_, _> =
            writers.into_iter().flat_map(|writer| writer.join().expect("it does not panic")).collect();
        done.store(true, Ordering::Relaxed);
        compacted = compactor.join().expect("it does not panic");
        all
    });
    assert!(compacted >= 3);
    let (entries, revision) = state(&store);
    let found: BTreeMap<_, _> = entries
        .iter()
        .filter(|entry| &*entry.key < "/k/09000")
        .map(|entry| (entry.key.to_string(), (entry.mod_revision, entry.value[0])))
        .collect();
    assert_eq!(found, wanted);
    assert_eq!(entries.len(), wanted.len() + 100);
    assert_eq!(wanted.values().map(|(revision, _)| *revision).max(), Some(revision));
    drop(store);
    assert_eq!(state(&open(&path, u64::MAX)), (entries, revision));
    assert!(!directory.path().join("store.new").exists());
}

/// Puts, overwrites and deletes; returns what must be there in the end.
fn write(store: &RedbStore, writer: usize, steps: u64) -> BTreeMap<String, (u64, u8)> {
    let mut there = BTreeMap::new();
    for step in 0..steps {
        let number = writer * 1000 + (step * 7 % 20) as usize;
        let key = format!("/k/{number:05}");
        if step % 5 == 4 && step + 1 < steps && there.remove(&key).is_some() {
            commit(store, vec![Op::Delete { key: key.into() }]);
        } else {
            there.insert(key, (commit(store, vec![put(number, step as u8, KIB)]), step as u8));
        }
    }
    there
}

#[test]
fn a_compaction_without_room_leaves_the_store_as_it_is() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let store = open(&path, u64::MAX);
    commit(&store, (0..100).map(|key| put(key, 1, 30 * KIB)).collect());
    let before = state(&store);
    let length = size(&path);
    store.set_limit_bytes(length / 8);
    let refused = store.compact_file();
    assert!(matches!(refused, Err(store::Error::NoSpace { .. })), "{refused:?}");
    assert_eq!((state(&store), size(&path)), (before, length));
    assert!(!directory.path().join("store.new").exists());
    store.set_limit_bytes(u64::MAX);
    commit(&store, vec![put(0, 2, KIB)]);
    store.compact_file().expect("there is room again");
}

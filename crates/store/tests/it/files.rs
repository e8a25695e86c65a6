//! Files that cannot be opened say why; a full disk refuses writes and nothing else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use store::redb::{RedbOptions, RedbStore};
use store::{Error, ListOptions, Outcome, Store, Txn};
use tempfile::TempDir;

fn open(path: &Path) -> Result<RedbStore, Error> {
    RedbStore::open(path, &RedbOptions::default())
}

fn create(store: &RedbStore, key: &str) -> Result<Outcome, Error> {
    stdx::block_on(store.txn(Txn::create(key, vec![b'x'; 100_000])))
}

fn filled(path: &Path) -> u64 {
    let store = open(path).expect("it opens");
    for number in 0..20 {
        create(&store, &format!("/a/{number}")).expect("there is room");
    }
    store.revision()
}

#[test]
fn a_second_start_is_told() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let first = open(&path).expect("it opens");
    let at_once = RedbOptions { lock_wait: Duration::ZERO, ..RedbOptions::default() };
    let second = RedbStore::open(&path, &at_once).err();
    assert_eq!(second, Some(Error::Locked { path: path.clone() }));
    let waiting = std::thread::spawn(move || open(&path).map(drop));
    drop(first);
    assert_eq!(waiting.join().expect("it does not panic"), Ok(()), "the lock is gone with its holder");
}

#[test]
fn foreign_files_are_left_alone() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    for content in ["hello, this is no store at all", "x", "SQLite format 3\0"] {
        fs::write(&path, content).expect("it can be written");
        let error = open(&path).err();
        assert!(matches!(error, Some(Error::Foreign { .. })), "{content}: {error:?}");
        assert_eq!(fs::read(&path).expect("it can be read"), content.as_bytes());
    }
    fs::remove_file(&path).expect("it is there");
    let other = redb::Database::create(&path).expect("it can be made");
    let txn = other.begin_write().expect("it can be written");
    txn.open_table(redb::TableDefinition::<u64, u64>::new("other")).expect("it can be made");
    txn.commit().expect("it can be written");
    drop(other);
    assert!(matches!(open(&path).err(), Some(Error::Foreign { .. })));
    assert!(matches!(open(directory.path()).err(), Some(Error::Foreign { .. })), "a directory");
    assert!(matches!(open(&path.join("below")).err(), Some(Error::Io { .. })), "no directory");
}

#[test]
fn a_newer_format_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    filled(&path);
    let file = redb::Database::open(&path).expect("it is a redb file");
    let txn = file.begin_write().expect("it can be written");
    let meta = redb::TableDefinition::<&str, &[u8]>::new("corten-meta");
    let newer = 99u32.to_le_bytes();
    txn.open_table(meta).expect("it is there").insert("format", newer.as_slice()).expect("it fits");
    txn.commit().expect("it can be written");
    drop(file);
    assert_eq!(open(&path).err(), Some(Error::NewerFormat { path, found: 99, supported: 1 }));
}

#[test]
fn damage_is_an_error_and_no_panic() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    filled(&path);
    let whole = fs::read(&path).expect("it can be read");
    fs::write(&path, "").expect("it can be written");
    assert!(matches!(open(&path).err(), Some(Error::Damaged { .. })), "empty");
    for keep in [16, 64, 320, 4096, 8192, whole.len() / 2] {
        fs::write(&path, &whole[..keep]).expect("it can be written");
        match open(&path) {
            Err(Error::Damaged { .. }) => {}
            Err(other) => panic!("cut to {keep}: {other}"),
            Ok(_) => panic!("cut to {keep}: opened"),
        }
    }
    // Garbage anywhere: either it is noticed, or it does not matter to what is read.
    for start in (16..whole.len()).step_by(whole.len() / 23) {
        let mut broken = whole.clone();
        let end = (start + 5000).min(broken.len());
        broken[start..end].fill(0xa5);
        fs::write(&path, &broken).expect("it can be written");
        let list = open(&path).and_then(|store| stdx::block_on(store.list("/", ListOptions::default())));
        match list {
            Ok(_) | Err(Error::Damaged { .. }) => {}
            Err(other) => panic!("garbage at {start}: {other}"),
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_only() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let options = RedbOptions { limit_bytes: 8 << 20, ..RedbOptions::default() };
    let store = RedbStore::open(&path, &options).expect("it opens");
    let mut written = 0;
    let error = loop {
        match create(&store, &format!("/a/{written}")) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::NoSpace { path: path.clone() });
    assert!(written > 10);
    let revision = store.revision();
    let keys = || {
        let page = stdx::block_on(store.list("/", ListOptions::default())).expect("reads go on");
        page.entries.len()
    };
    assert_eq!(keys(), written);
    assert!(create(&store, "/more").is_err(), "it is still full");
    assert!(!store.is_writable());
    assert_eq!((store.revision(), keys()), (revision, written));
    store.set_limit_bytes(u64::MAX);
    let outcome = create(&store, "/more").expect("there is room again");
    assert_eq!(outcome, Outcome::Committed { revision: revision + 1 });
    assert!(store.is_writable());
    assert_eq!(keys(), written + 1);
    drop(store);
    let store = open(&path).expect("it opens");
    assert_eq!(store.revision(), revision + 1);
}

#[test]
fn deletes_make_room() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let options = RedbOptions { limit_bytes: 8 << 20, ..RedbOptions::default() };
    let store = RedbStore::open(&path, &options).expect("it opens");
    let mut revisions = Vec::new();
    while let Ok(Outcome::Committed { revision }) = create(&store, &format!("/a/{}", revisions.len())) {
        revisions.push(revision);
    }
    for (number, revision) in revisions.iter().enumerate().take(revisions.len() / 2) {
        let txn = Txn::delete(format!("/a/{number}"), *revision);
        // While every page is in use even a delete may not find one to write to.
        let _ = stdx::block_on(store.txn(txn));
    }
    create(&store, "/a/new").expect("there is room again");
}

//! kill -9 at any moment, also while the file is being compacted: what was acknowledged is there afterwards.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use store::redb::{RedbOptions, RedbStore};
use store::{ListOptions, Outcome, Store, Txn};

const PATH: &str = "CORTEN_STORE_KILL_PATH";
const WRITERS: usize = 4;

/// The process that gets killed; by itself it does nothing.
#[test]
fn child() {
    let Ok(path) = std::env::var(PATH) else { return };
    let store = RedbStore::open(path, &RedbOptions::default()).expect("it opens");
    let round = store.revision();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                store.compact_file().expect("there is room");
                writeln!(std::io::stdout().lock(), "\nack compacted").expect("the parent reads");
            }
        });
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                for number in 0.. {
                    write(store, &format!("/k/{round}/{writer}/{number}"));
                }
            });
        }
    });
}

/// Creates, updates and for every third key deletes; prints what was acknowledged.
fn write(store: &RedbStore, key: &str) {
    let commit = |txn: Txn| match stdx::block_on(store.txn(txn)) {
        Ok(Outcome::Committed { revision }) => revision,
        other => panic!("{key}: {other:?}"),
    };
    let say = |what: &str, revision: u64| {
        writeln!(std::io::stdout().lock(), "\nack {what} {revision} {key}").expect("the parent reads");
    };
    let created = commit(Txn::create(key, vec![b'x'; 700]));
    say("put", created);
    let updated = commit(Txn::update(key, created, vec![b'y'; 900]));
    say("put", updated);
    if updated % 3 == 0 {
        say("delete", commit(Txn::delete(key, updated)));
    }
}

#[test]
fn killed_writer_loses_nothing() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("store");
    let mut acknowledged: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let mut compacted = 0;
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().expect("this test has a path"))
            .args(["--exact", "kill::child", "--nocapture"])
            .env(PATH, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the child starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let enough = 20 + round * 37;
        for line in lines.by_ref().map_while(Result::ok).filter(|line| line.starts_with("ack ")).take(enough)
        {
            compacted += usize::from(line == "ack compacted");
            note(&mut acknowledged, &line);
        }
        child.kill().expect("it runs");
        for line in lines.map_while(Result::ok).filter(|line| line.starts_with("ack ")) {
            note(&mut acknowledged, &line);
        }
        child.wait().expect("it was killed");
        check(&path, &acknowledged);
    }
    assert!(acknowledged.len() > 100);
    assert!(compacted > 10, "{compacted} compactions");
}

fn note(acknowledged: &mut BTreeMap<String, (String, u64)>, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    // The last line may have been cut by the kill.
    let [_, what, revision, key] = words[..] else { return };
    let (Ok(revision), 4) = (revision.parse(), key.matches('/').count()) else { return };
    acknowledged.insert(key.to_owned(), (what.to_owned(), revision));
}

fn check(path: &std::path::Path, acknowledged: &BTreeMap<String, (String, u64)>) {
    let store = RedbStore::open(path, &RedbOptions::default()).expect("a killed store opens");
    let page = stdx::block_on(store.list("/k/", ListOptions::default())).expect("it can be read");
    let found: BTreeMap<String, u64> =
        page.entries.iter().map(|entry| (entry.key.to_string(), entry.mod_revision)).collect();
    let newest = acknowledged.values().map(|(_, revision)| *revision).max().unwrap_or(0);
    assert!(store.revision() >= newest, "the revision went back");
    for (key, (what, revision)) in acknowledged {
        let now = found.get(key);
        match what.as_str() {
            "delete" => assert_eq!(now, None, "{key} was deleted at {revision}"),
            // The next step of this key may have been written without its acknowledgement.
            _ => assert!(
                now.map_or(revision % 3 == 0, |now| now >= revision),
                "{key} was put at {revision} and is {now:?}"
            ),
        }
    }
}

//! Gets, lists, snapshots, filling and registering.

use std::sync::Arc;

use stdx::block_on;
use store::mem::MemStore;
use store::{Op, Store, Txn};
use watchcache::{Error, Limits, ResourceSpec, RevisionMatch, Snapshot};

use crate::support::*;

fn names(snapshot: &Snapshot) -> Vec<String> {
    snapshot.iter(PODS, None).map(|entry| entry.name().to_owned()).collect()
}

#[test]
fn a_write_is_seen_at_once_with_its_revision() {
    let world = world();
    let revision = world.put("ns/a", "web", "n1");
    let entry = world.pods.get(&key("ns/a")).expect("it is cached");
    assert_eq!(entry.object(), served("ns/a", "web", "n1", revision));
    assert_eq!(entry.stored(), pod("ns/a", "web", "n1").into_bytes());
    assert_eq!((entry.namespace(), entry.name(), entry.mod_revision()), ("ns", "a", revision));
    assert_eq!((entry.facts().label("app"), entry.facts().field(0)), (Some("web"), "n1"));
    assert_eq!(world.cache.revision(), revision);
    world.delete("ns/a");
    assert!(world.pods.get(&key("ns/a")).is_none());
}

#[test]
fn what_was_there_before_is_filled_in() {
    let store: Arc<dyn Store> = Arc::new(MemStore::default());
    for number in 0..1234 {
        let path = format!("ns/p{number:04}");
        let txn = Txn::create(key(&path), pod(&path, "web", ""));
        block_on(store.txn(txn)).expect("it is written");
    }
    let world = over(store, Limits::default());
    assert_eq!(world.pods.len(), 1234);
    let snapshot = world.pods.list(RevisionMatch::Any).expect("the cache has it");
    assert_eq!(snapshot.revision(), 1235);
    assert_eq!(snapshot.iter(PODS, None).map(|entry| entry.mod_revision()).max(), Some(1235));
    let revision = world.pods.list(RevisionMatch::Exact(1000)).err();
    assert_eq!(revision, expired(1235), "there is no history from before");
}

#[test]
fn ranges_pages_and_cursors_agree() {
    let world = world();
    for namespace in ["a", "ab", "b"] {
        for number in 0..150 {
            world.put(&format!("{namespace}/p{number:03}"), "web", "");
        }
    }
    let snapshot = world.pods.list(RevisionMatch::Any).expect("the cache has it");
    for (prefix, count) in [(PODS, 450), ("/registry/pods/a/", 150), ("/registry/pods/b/", 150)] {
        assert_eq!(snapshot.count(prefix, None), count);
        let all: Vec<_> = snapshot.iter(prefix, None).map(|entry| entry.key().clone()).collect();
        assert!(all.is_sorted());
        let cursor: Vec<_> = snapshot.clone().cursor(prefix, None).map(|entry| entry.key().clone()).collect();
        assert_eq!(cursor, all);
        let mut paged = Vec::new();
        while paged.len() < count {
            let after = paged.last().map(|key: &store::Key| key.to_string());
            let mut cursor = snapshot.clone().cursor(prefix, after);
            paged.extend(cursor.by_ref().take(7).map(|entry| entry.key().clone()));
            assert_eq!(cursor.remaining(), count - paged.len());
        }
        assert_eq!(paged, all);
    }
    assert_eq!(snapshot.count(PODS, Some("/registry/pods/b/p148")), 1);
    assert_eq!(snapshot.count("/registry/pods/b/", Some("/registry/pods/a")), 150);
    assert_eq!(snapshot.count("/registry/pods/c/", None), 0);
}

#[test]
fn older_revisions_are_exact_until_the_ring_ends() {
    let world = world_with(Limits { ring_changes: 4, ..Limits::default() });
    world.put("ns/a", "1", "");
    let second = world.put("ns/b", "2", "");
    let third = world.put("ns/a", "3", "");
    let fourth = world.delete("ns/b");
    let fifth = world.put("ns/c", "5", "");
    let state = |revision| {
        let snapshot = world.pods.list(RevisionMatch::Exact(revision))?;
        assert_eq!(snapshot.revision(), revision);
        let entries = snapshot.iter(PODS, None);
        let apps: String = entries.filter_map(|entry| entry.facts().label("app")).collect();
        Ok::<_, Error>(apps)
    };
    assert_eq!(state(fifth), Ok("35".into()));
    assert_eq!(state(fourth), Ok("3".into()));
    assert_eq!(state(third), Ok("32".into()));
    assert_eq!(state(second), Ok("12".into()));
    let before = world.pods.list(RevisionMatch::Exact(second)).expect("it is in the ring");
    world.put("ns/d", "6", "");
    world.put("ns/d", "7", "");
    assert_eq!(state(second).err(), expired(third));
    assert_eq!(names(&before), ["a", "b"], "a snapshot in hand stays");
}

#[test]
fn a_kept_snapshot_outlives_the_ring_until_it_is_too_old() {
    let world = world_with(Limits { ring_changes: 1, ..Limits::default() });
    let revision = world.put("ns/a", "1", "");
    world.pods.keep(&world.pods.list(RevisionMatch::Any).expect("the cache has it"));
    for number in 0..10 {
        world.put("ns/b", &number.to_string(), "");
        world.pass(29);
    }
    let kept = world.pods.list(RevisionMatch::Exact(revision)).expect("it is kept");
    assert_eq!((kept.revision(), names(&kept)), (revision, vec!["a".to_owned()]));
    assert!(world.pods.list(RevisionMatch::Exact(revision + 1)).is_err(), "nobody wants that one");
    world.put("ns/b", "x", "");
    world.pass(40);
    assert!(matches!(world.pods.list(RevisionMatch::Exact(revision)), Err(Error::Expired { .. })));
    // An old revision is refused also where the ring has it, as after a compaction.
    let quiet = crate::support::world();
    let revision = quiet.put("ns/a", "1", "");
    quiet.pass(1);
    assert!(quiet.pods.list(RevisionMatch::Exact(revision)).is_ok());
    quiet.elsewhere();
    quiet.pass(1);
    quiet.pass(299);
    assert!(quiet.pods.list(RevisionMatch::Exact(revision)).is_ok());
    quiet.pass(2);
    assert_eq!(quiet.pods.list(RevisionMatch::Exact(revision)).err(), expired(revision + 1));
}

#[test]
fn kept_snapshots_are_bounded_in_bytes() {
    let world = world_with(Limits { history_bytes: 1 << 20, ..Limits::default() });
    let large = "x".repeat(100_000);
    for number in 0..50 {
        world.put("ns/a", &large, &number.to_string());
        world.pods.keep(&world.pods.list(RevisionMatch::Any).expect("the cache has it"));
        assert!(world.cache.history_bytes() <= 1 << 20, "{}", world.cache.history_bytes());
    }
    assert!(world.pods.list(RevisionMatch::Exact(world.cache.revision() - 1)).is_ok());
    assert!(matches!(world.pods.list(RevisionMatch::Exact(3)), Err(Error::Expired { .. })));
}

#[test]
fn revisions_elsewhere_count() {
    let world = world();
    let pod = world.put("ns/a", "1", "");
    let other = world.elsewhere();
    let snapshot = world.pods.list(RevisionMatch::NotOlderThan(other)).expect("it is up to date");
    assert_eq!(snapshot.revision(), other);
    let exact = world.pods.list(RevisionMatch::Exact(pod)).expect("nothing happened in between");
    assert_eq!((exact.revision(), exact.len()), (pod, 1));
    for matching in [RevisionMatch::NotOlderThan(other + 1), RevisionMatch::Exact(other + 1)] {
        let error = world.pods.list(matching).err();
        assert_eq!(error, Some(Error::TooLarge { requested: other + 1, current: other }));
    }
    assert_eq!(block_on(world.cache.wait_current()), Ok(other));
    block_on(world.cache.wait_until(other));
}

#[test]
fn waiting_ends_with_the_write() {
    let world = world();
    let next = world.cache.revision() + 1;
    let cache = world.cache.clone();
    let waiter = std::thread::spawn(move || {
        block_on(cache.wait_until(next));
        cache.revision()
    });
    world.elsewhere();
    assert_eq!(waiter.join().expect("it does not panic"), next);
}

#[test]
fn overlapping_prefixes_are_refused() {
    let world = world();
    let register = |prefix: &str| block_on(world.cache.register(ResourceSpec::scanned(prefix, &[]))).err();
    for prefix in [PODS, "/registry/", "/registry/pods/x/"] {
        assert!(matches!(register(prefix), Some(Error::Overlap { .. })), "{prefix}");
    }
    for prefix in ["", "/", "//", "pods/", "/pods"] {
        assert!(matches!(register(prefix), Some(Error::InvalidPrefix(_))), "{prefix}");
    }
    assert_eq!(register("/registry/podsx/"), None);
    assert_eq!(register("/registry/pod/"), None);
    assert_eq!(world.cache.resources().len(), 3);
    world.put("ns/a", "1", "");
    assert_eq!(world.pods.len(), 1);
}

#[test]
fn a_resource_can_come_and_go() {
    let world = world();
    world.put("ns/a", "1", "");
    world.cache.unregister(PODS);
    assert!(world.cache.resource(PODS).is_none());
    world.put("ns/b", "2", "");
    let again = block_on(world.cache.register(pods_spec())).expect("the prefix is free again");
    assert_eq!(again.len(), 2);
    assert!(world.cache.resource(PODS).is_some());
}

#[test]
fn any_bytes_can_be_cached() {
    let world = world();
    for (number, value) in ["", "{", "null", "\u{0}", r#"{"metadata":{"#, "[[[["].iter().enumerate() {
        let key = key(&format!("ns/{number}"));
        world.commit(vec![Op::Put { key: key.as_str().into(), value: value.to_string().into() }]);
        assert_eq!(world.pods.get(&key).expect("it is cached").object(), *value);
        world.commit(vec![Op::Delete { key: key.as_str().into() }]);
    }
}

#[test]
fn memory_per_pod_is_within_budget() {
    let world = world();
    let value = pod("namespace-1/deployment-7d4b9c6f5-abcde", "web", "node-0001");
    let filler = "x".repeat(2048 - value.len() - r#","filler":"""#.len());
    let value = value.replacen("}}", &format!(r#"}},"filler":"{filler}"}}"#), 1);
    assert_eq!(value.len(), 2048);
    let key = key("namespace-1/deployment-7d4b9c6f5-abcde");
    world.commit(vec![Op::Put { key: key.as_str().into(), value: value.into() }]);
    let entry = world.pods.get(&key).expect("it is cached");
    assert!(entry.memory_bytes() < 2400, "{} bytes", entry.memory_bytes());
}

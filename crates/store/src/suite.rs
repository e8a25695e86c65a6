//! What every store must do, as functions that panic when one does not. A backend's tests call [`all`]
//! with a way to make an empty store and, if it is durable, [`restart`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use stdx::block_on;

use crate::{
    Entry, Error, Event, EventKind, EventSink, Events, Guard, Key, LIMIT_KEY_BYTES, LIMIT_TXN_OPS,
    LIMIT_VALUE_BYTES, ListOptions, Op, Outcome, Page, Store, Txn, WatchStream,
};

/// Writes after which a watcher that reads nothing must have been cut off.
const SLOW_WRITES: usize = 600;

/// Makes an empty store. Its history must hold at least 100 events and at most 10 000.
pub type Make<'a> = &'a dyn Fn() -> Arc<dyn Store>;

/// Runs every function of the suite that an unshared store can be put through.
pub fn all(make: Make<'_>) {
    revisions_grow_by_one_per_change(&*make());
    compares_are_exact(&*make());
    guards_are_judged_with_the_compares(&*make());
    limits_are_refused(&*make());
    watch_from_any_revision_sees_the_rest_once(&*make());
    watch_sees_only_its_prefix(&*make());
    slow_watcher_is_cut_off(&*make());
    compacted_and_future_revisions_are_refused(&*make());
    pages_are_of_one_revision(&*make());
    sinks_know_before_the_writer(&*make());
    concurrent_writers_lose_nothing(&make());
}

/// Commits and returns the revision; panics on anything else.
pub fn commit(store: &dyn Store, txn: Txn) -> u64 {
    match block_on(store.txn(txn)).expect("the store accepts the transaction") {
        Outcome::Committed { revision } => revision,
        Outcome::Conflict { current } => panic!("unexpected conflict with {current:?}"),
    }
}

fn put(store: &dyn Store, key: &str, value: &str) -> u64 {
    let op = Op::Put { key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()) };
    commit(store, Txn { ops: vec![op], ..Txn::default() })
}

fn delete(store: &dyn Store, key: &str) -> u64 {
    commit(store, Txn { ops: vec![Op::Delete { key: key.into() }], ..Txn::default() })
}

fn get(store: &dyn Store, key: &str) -> Option<Entry> {
    block_on(store.get(key)).expect("the key can be read")
}

fn list(store: &dyn Store, prefix: &str, options: ListOptions<'_>) -> Page {
    block_on(store.list(prefix, options)).expect("the keys can be listed")
}

fn watch(store: &dyn Store, prefix: &str, from_revision: u64) -> WatchStream {
    block_on(store.watch(prefix, from_revision)).expect("the watch starts")
}

/// Everything that the stream has now.
fn drain(stream: &mut WatchStream) -> Vec<Event> {
    let mut events = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(batch)) = stream.as_mut().poll_next(&mut context) {
        events.extend(batch.expect("the watch goes on").events);
    }
    events
}

/// Every change gets one revision of its own, the next one; what changes nothing gets none.
pub fn revisions_grow_by_one_per_change(store: &dyn Store) {
    let first = store.revision();
    assert_eq!(put(store, "/a", "1"), first + 1);
    assert_eq!(put(store, "/a", "2"), first + 2);
    let both = vec![
        Op::Put { key: "/b".into(), value: "x".into() },
        Op::Delete { key: "/a".into() },
        Op::Delete { key: "/none".into() },
    ];
    assert_eq!(commit(store, Txn { ops: both, ..Txn::default() }), first + 3);
    assert_eq!(delete(store, "/none"), first + 3, "deleting an absent key changes nothing");
    assert_eq!(commit(store, Txn::default()), first + 3);
    assert_eq!(store.revision(), first + 3);
    assert_eq!(block_on(store.latest_revision()), Ok(first + 3));
    assert_eq!(get(store, "/a"), None);
    assert_eq!(put(store, "/b", "y"), first + 4);
    let entry = get(store, "/b").expect("it was put");
    assert_eq!((entry.create_revision, entry.mod_revision), (first + 3, first + 4));
    assert_eq!(entry.value, "y");
}

/// A transaction happens when every compare holds, and otherwise not at all.
pub fn compares_are_exact(store: &dyn Store) {
    let created = commit(store, Txn::create("/k", "1"));
    let conflict = block_on(store.txn(Txn::create("/k", "2"))).expect("a conflict is an answer");
    assert_eq!(conflict, Outcome::Conflict { current: vec![get(store, "/k")] });
    let stale = Txn {
        compares: vec![("/absent".into(), 0), ("/k".into(), created + 1)],
        ops: vec![Op::Put { key: "/absent".into(), value: "x".into() }],
        ..Txn::default()
    };
    let conflict = block_on(store.txn(stale)).expect("a conflict is an answer");
    assert_eq!(conflict, Outcome::Conflict { current: vec![None, get(store, "/k")] });
    assert_eq!(get(store, "/absent"), None);
    assert_eq!(store.revision(), created, "a conflict uses up no revision");
    let updated = commit(store, Txn::update("/k", created, "3"));
    let conflict = block_on(store.txn(Txn::delete("/k", created))).expect("a conflict is an answer");
    assert!(matches!(conflict, Outcome::Conflict { .. }));
    commit(store, Txn::delete("/k", updated));
    commit(store, Txn::create("/k", "4"));
}

/// A guard holds while its key is as it was seen or still good, and is a conflict from then on.
pub fn guards_are_judged_with_the_compares(store: &dyn Store) {
    let seen = put(store, "/guard", "good");
    let guard = || Guard { key: "/guard".into(), seen, good: |value| value.starts_with(b"good") };
    let try_create = |key: &str| {
        let txn = Txn::create(key, "x").guarded(Some(guard()));
        matches!(block_on(store.txn(txn)), Ok(Outcome::Committed { .. }))
    };
    assert!(try_create("/seen"));
    put(store, "/guard", "good still");
    assert!(try_create("/judged"));
    let before = put(store, "/guard", "bad");
    assert!(!try_create("/bad"));
    put(store, "/guard", "good again");
    delete(store, "/guard");
    assert!(!try_create("/gone"));
    assert_eq!((get(store, "/bad"), get(store, "/gone")), (None, None));
    assert_eq!(store.revision(), before + 2);
}

/// Requests over a limit are refused whole.
pub fn limits_are_refused(store: &dyn Store) {
    let before = store.revision();
    let op = |key: &str, size: usize| Op::Put { key: key.into(), value: vec![b'x'; size].into() };
    let large = LIMIT_VALUE_BYTES;
    let many = (0..=LIMIT_TXN_OPS).map(|number| op(&format!("/{number}"), 1)).collect();
    let cases: Vec<(&str, Vec<Op>)> = vec![
        ("no key", vec![op("", 1)]),
        ("long key", vec![op(&"k".repeat(LIMIT_KEY_BYTES + 1), 1)]),
        ("large value", vec![op("/a", large + 1)]),
        ("large in sum", vec![op("/a", large), op("/b", large), op("/c", large)]),
        ("many operations", many),
        ("one key twice", vec![op("/a", 1), op("/a", 2)]),
    ];
    for (name, ops) in cases {
        let answer = block_on(store.txn(Txn { ops, ..Txn::default() }));
        let refused = matches!(answer, Err(Error::OverLimit { .. } | Error::Invalid(_)));
        assert!(refused, "{name}: {answer:?}");
    }
    assert_eq!(store.revision(), before);
    commit(store, Txn { ops: vec![op(&"k".repeat(LIMIT_KEY_BYTES), large)], ..Txn::default() });
}

/// From whatever revision a watch starts, it sees every later change once and in order.
pub fn watch_from_any_revision_sees_the_rest_once(store: &dyn Store) {
    let first = store.revision() + 1;
    let mut early = watch(store, "/", first);
    for round in 0..5 {
        for key in ["/a", "/b", "/c"] {
            put(store, key, &format!("{key}{round}"));
        }
        delete(store, "/b");
    }
    let all = drain(&mut early);
    assert_eq!(all.len(), 20);
    let revisions: Vec<u64> = all.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (first..first + 20).collect::<Vec<_>>());
    for from in first..=store.revision() + 1 {
        let mut late = watch(store, "/", from);
        let rest: Vec<Event> = all.iter().filter(|event| event.revision >= from).cloned().collect();
        assert_eq!(drain(&mut late), rest, "from {from}");
        drop(late);
    }
    check_previous(&all);
    let mut both = watch(store, "/", store.revision());
    let put_at = put(store, "/a", "new");
    let revisions: Vec<u64> = drain(&mut both).iter().map(|event| event.revision).collect();
    assert_eq!(revisions, [put_at - 1, put_at], "the past and the present join without gap or double");
    let future = store.revision() + 3;
    let mut later = watch(store, "/", future);
    for _ in 0..4 {
        put(store, "/a", "x");
    }
    assert_eq!(drain(&mut later).first().map(|event| event.revision), Some(future));
}

/// Every event must say what the events before it left.
fn check_previous(events: &[Event]) {
    let mut state: BTreeMap<Key, Event> = BTreeMap::new();
    for event in events {
        let before = state.remove(&event.key);
        let said = event.prev.as_ref().map(|prev| (prev.value.clone(), prev.mod_revision));
        assert_eq!(said, before.map(|before| (before.value, before.revision)));
        if event.kind == EventKind::Put {
            state.insert(event.key.clone(), event.clone());
        } else {
            assert!(event.value.is_empty());
        }
    }
}

/// A watch sees the keys under its prefix only.
pub fn watch_sees_only_its_prefix(store: &dyn Store) {
    let mut pods = watch(store, "/pods/", store.revision() + 1);
    for key in ["/pods/a", "/podsx", "/nodes/a", "/pods/b"] {
        put(store, key, "x");
    }
    let keys: Vec<Key> = drain(&mut pods).into_iter().map(|event| event.key).collect();
    assert_eq!(keys, ["/pods/a".into(), "/pods/b".into()] as [Key; 2]);
}

/// A watcher that does not read is cut off with an error, and nobody waits for it.
pub fn slow_watcher_is_cut_off(store: &dyn Store) {
    let mut slow = watch(store, "/", store.revision() + 1);
    let mut context = Context::from_waker(Waker::noop());
    assert!(slow.as_mut().poll_next(&mut context).is_pending());
    for number in 0..SLOW_WRITES {
        put(store, "/a", &number.to_string());
    }
    let mut seen = 0;
    loop {
        match slow.as_mut().poll_next(&mut context) {
            Poll::Ready(Some(Ok(batch))) => seen += batch.events.len(),
            Poll::Ready(Some(Err(error))) => break assert_eq!(error, Error::WatcherTooSlow),
            other => panic!("after {seen} events: {other:?}"),
        }
    }
    assert!(seen < SLOW_WRITES);
    assert!(matches!(slow.as_mut().poll_next(&mut context), Poll::Ready(None)));
}

/// What is not available is refused, and what is newest stays.
pub fn compacted_and_future_revisions_are_refused(store: &dyn Store) {
    for number in 0..10 {
        put(store, "/a", &number.to_string());
    }
    let current = store.revision();
    block_on(store.compact(current - 3)).expect("it can be compacted");
    let start = |from| block_on(store.watch("/", from)).err();
    assert_eq!(start(current - 3), Some(Error::Compacted { oldest: current - 2 }));
    assert_eq!(start(current - 2), None);
    let at = |revision| {
        let options = ListOptions { revision: Some(revision), ..ListOptions::default() };
        block_on(store.list("/", options)).map(|page| page.entries[0].value.clone())
    };
    assert_eq!(at(current - 4), Err(Error::Compacted { oldest: current - 3 }));
    assert_eq!(at(current - 3), Ok("6".into()));
    assert_eq!(at(current), Ok("9".into()));
    assert_eq!(at(current + 1), Err(Error::FutureRevision { requested: current + 1, current }));
    assert!(block_on(store.compact(current + 1)).is_err());
    assert_eq!(get(store, "/a").expect("compaction loses no state").value, "9");
}

/// The pages of a list at one revision fit together, whatever is written between them.
pub fn pages_are_of_one_revision(store: &dyn Store) {
    for number in 0..25 {
        put(store, &format!("/p/{number:02}"), "old");
    }
    put(store, "/q/outside", "x");
    let revision = store.revision();
    let whole = list(store, "/p/", ListOptions::default());
    assert_eq!((whole.entries.len(), whole.revision, whole.more), (25, revision, false));
    let mut paged: Vec<Entry> = Vec::new();
    loop {
        let after = paged.last().map(|entry| entry.key.clone());
        let options = ListOptions { revision: Some(revision), start_after: after.as_deref(), limit: 4 };
        let page = list(store, "/p/", options);
        assert_eq!(page.revision, revision);
        paged.extend(page.entries);
        let number = paged.len();
        put(store, &format!("/p/{:02}", 24 - number % 20), "new");
        delete(store, &format!("/p/{:02}", number % 25));
        put(store, &format!("/p/{number:02}b"), "inserted");
        if !page.more {
            break;
        }
    }
    assert_eq!(paged, whole.entries);
    let options = ListOptions { start_after: Some("/p/99"), ..ListOptions::default() };
    assert!(list(store, "/p/", options).entries.is_empty());
    let options = ListOptions { start_after: Some("/a"), limit: 1, ..ListOptions::default() };
    assert!(list(store, "/q/", options).entries.len() == 1 && !list(store, "/q/", options).more);
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl EventSink for Recorder {
    fn apply(&self, events: &Events) {
        self.0.lock().extend(events.iter().cloned());
    }
}

/// A sink has seen a change by the time the writer gets its answer.
pub fn sinks_know_before_the_writer(store: &dyn Store) {
    put(store, "/before", "x");
    let recorder = Arc::new(Recorder::default());
    let sink: Arc<dyn EventSink> = recorder.clone();
    let from = store.subscribe(&sink);
    assert_eq!(from, store.revision());
    for number in 1..20 {
        let revision = put(store, "/a", &number.to_string());
        let last = recorder.0.lock().last().map(|event| event.revision);
        assert_eq!(last, Some(revision));
        assert!(store.revision() >= revision);
    }
    assert_eq!(recorder.0.lock().first().map(|event| event.revision), Some(from + 1));
    drop(sink);
    let weak = Arc::downgrade(&recorder);
    drop(recorder);
    put(store, "/a", "unseen");
    assert!(weak.upgrade().is_none(), "the store does not keep a sink alive");
}

/// Many writers on one counter and on keys of their own: every success is one step and one event.
pub fn concurrent_writers_lose_nothing(store: &Arc<dyn Store>) {
    const WRITERS: usize = 8;
    const STEPS: usize = 20;
    let recorder = Arc::new(Recorder::default());
    let sink: Arc<dyn EventSink> = recorder.clone();
    store.subscribe(&sink);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for step in 0..STEPS {
                    increment(&**store);
                    commit(&**store, Txn::create(format!("/own/{writer}/{step}"), "x"));
                }
            });
        }
    });
    let counter = get(&**store, "/counter").expect("it was incremented");
    assert_eq!(counter.value, (WRITERS * STEPS).to_string());
    assert_eq!(list(&**store, "/own/", ListOptions::default()).entries.len(), WRITERS * STEPS);
    let events = recorder.0.lock();
    assert_eq!(events.len(), WRITERS * STEPS * 2);
    assert!(events.windows(2).all(|pair| pair[0].revision + 1 == pair[1].revision));
    check_previous(&events);
}

fn increment(store: &dyn Store) {
    loop {
        let entry = get(store, "/counter");
        let value = entry.as_ref().map_or("0", |entry| std::str::from_utf8(&entry.value).expect("a number"));
        let next = (value.parse::<usize>().expect("a number") + 1).to_string();
        let txn = Txn::update("/counter", entry.as_ref().map_or(0, |entry| entry.mod_revision), next);
        if let Outcome::Committed { .. } = block_on(store.txn(txn)).expect("the store accepts it") {
            return;
        }
    }
}

/// A store that was closed and opened again has everything, and its revisions go on. `open` opens the same
/// place each time; the one before has been dropped.
pub fn restart(open: &dyn Fn() -> Arc<dyn Store>) {
    let store = open();
    for number in 0..50 {
        put(&*store, &format!("/r/{number:02}"), "value");
    }
    let last = delete(&*store, "/r/00");
    let before = list(&*store, "/", ListOptions::default());
    drop(store);
    let store = open();
    assert_eq!(store.revision(), last, "a delete counts, too");
    assert_eq!(list(&*store, "/", ListOptions::default()), before);
    assert_eq!(block_on(store.watch("/", last)).err(), Some(Error::Compacted { oldest: last + 1 }));
    let mut stream = watch(&*store, "/", last + 1);
    assert_eq!(put(&*store, "/r/00", "again"), last + 1);
    assert_eq!(drain(&mut stream).len(), 1);
}

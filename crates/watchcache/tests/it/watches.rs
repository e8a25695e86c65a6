//! Watches: starts, filters, frames, bookmarks, limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use store::Op;
use watchcache::{Error, Filter, Limits, Scope, Start, WatchEvent, WatchEventType, WatchItem};

use crate::support::*;

fn event(watch: &mut watchcache::Watch) -> WatchEvent {
    match watch.try_next() {
        Some(Ok(WatchItem::Event(event))) => event,
        other => panic!("no event: {other:?}"),
    }
}

#[test]
fn starts_from_now_from_before_and_with_what_is_there() {
    let world = world();
    let first = world.cache.revision();
    world.put("ns/a", "1", "");
    let b = world.put("ns/b", "1", "");
    world.put("ns/a", "2", "");
    let d = world.delete("ns/b");
    let mut all = world.watch(Start::After(first), Filter::all());
    let mut late = world.watch(Start::After(b), Filter::all());
    let mut now = world.watch(Start::After(d), Filter::all());
    let mut present = world.watch(Start::Initial { mark_end: true }, Filter::all());
    let mut unmarked = world.watch(Start::Initial { mark_end: false }, Filter::all());
    let e = world.put("ns/c", "1", "");
    assert_eq!(drain(&mut all), ["ADDED a 2", "ADDED b 3", "MODIFIED a 4", "DELETED b 5", "ADDED c 6"]);
    assert_eq!(drain(&mut late), ["MODIFIED a 4", "DELETED b 5", "ADDED c 6"]);
    assert_eq!(drain(&mut now), ["ADDED c 6"]);
    assert_eq!(drain(&mut present), ["ADDED a 4", "END 5", "ADDED c 6"]);
    assert_eq!(drain(&mut unmarked), ["ADDED a 4", "ADDED c 6"]);
    assert_eq!(e, 6);
    let mut future = world.watch(Start::After(e + 2), Filter::all());
    for app in ["1", "2", "3"] {
        world.put("ns/c", app, "");
    }
    assert_eq!(drain(&mut future), ["MODIFIED c 9"]);
}

#[test]
fn filters_turn_changes_into_what_the_watcher_sees() {
    let world = world();
    let mut web = world.watch(Start::After(1), with_app("web"));
    let mut on_n1 = Filter { field: Some((0, "n1".into())), ..Filter::all() };
    let mut on_n1_watch = world.watch(Start::After(1), std::mem::take(&mut on_n1));
    world.put("ns/a", "db", "");
    world.put("ns/a", "web", "");
    world.put("ns/a", "web", "n1");
    world.put("ns/a", "db", "n1");
    world.put("ns/a", "db", "n2");
    world.put("ns/b", "web", "n1");
    world.delete("ns/b");
    world.delete("ns/a");
    assert_eq!(drain(&mut web), ["ADDED a 3", "MODIFIED a 4", "DELETED a 5", "ADDED b 7", "DELETED b 8"]);
    let on_n1 = ["ADDED a 4", "MODIFIED a 5", "DELETED a 6", "ADDED b 7", "DELETED b 8"];
    assert_eq!(drain(&mut on_n1_watch), on_n1);
    let filter = Filter { field: Some((0, "n1".into())), ..Filter::all() };
    assert_eq!(drain(&mut world.watch(Start::After(1), filter)), on_n1, "the same from the ring");
}

#[test]
fn scopes_see_their_keys_only() {
    let world = world();
    let scoped = |scope| world.watch(Start::After(1), Filter { scope, ..Filter::all() });
    let mut namespace = scoped(Scope::Namespace("ns".into()));
    let mut one = scoped(Scope::Key(key("ns/a")));
    for path in ["n/a", "ns/a", "ns/ab", "nsx/a"] {
        world.put(path, "1", "");
    }
    assert_eq!(drain(&mut namespace), ["ADDED a 3", "ADDED ab 4"]);
    assert_eq!(drain(&mut one), ["ADDED a 3"]);
    let present = Start::Initial { mark_end: false };
    let one = Filter { scope: Scope::Key(key("ns/a")), ..Filter::all() };
    assert_eq!(drain(&mut world.watch(present, one)), ["ADDED a 3"]);
    let namespace = Filter { scope: Scope::Namespace("ns".into()), ..Filter::all() };
    assert_eq!(drain(&mut world.watch(present, namespace)), ["ADDED a 3", "ADDED ab 4"]);
    let name = || Filter { scope: Scope::Name("a".into()), ..Filter::all() };
    let everywhere = ["ADDED a 2", "ADDED a 3", "ADDED a 5"];
    assert_eq!(drain(&mut world.watch(present, name())), everywhere);
    let mut live = world.watch(Start::After(world.cache.revision()), name());
    assert_eq!(drain(&mut world.watch(Start::After(1), name())), everywhere);
    for path in ["other/b", "other/a"] {
        world.put(path, "1", "");
    }
    world.delete("other/a");
    assert_eq!(drain(&mut live), ["ADDED a 7", "DELETED a 8"]);
}

#[test]
fn a_change_costs_nothing_for_watchers_of_other_objects() {
    const WATCHERS: usize = 10_000;
    let world = world();
    let looked_at = Arc::new(AtomicUsize::new(0));
    let counting = |scope, field: Option<(usize, String)>| {
        let looked_at = looked_at.clone();
        let predicate = move |_: &watchcache::Entry| {
            looked_at.fetch_add(1, Ordering::Relaxed);
            true
        };
        Filter { scope, field, predicate: Some(Box::new(predicate)) }
    };
    // As kubelets do: pods by node, and single objects by name; and names in all namespaces.
    let mut watches: Vec<_> = (0..WATCHERS)
        .map(|number| {
            let filter = match number % 3 {
                0 => counting(Scope::All, Some((0, format!("n{number}")))),
                1 => counting(Scope::Key(key(&format!("ns/p{number}"))), None),
                _ => counting(Scope::Name(format!("p{number}")), None),
            };
            world.watch(Start::After(1), filter)
        })
        .collect();
    // Nobody's, and then one for one watcher of each kind.
    world.put("ns/nobodys", "1", "nowhere");
    world.put("ns/p4", "1", "n6");
    world.put("other/p5", "1", "");
    assert_eq!(looked_at.load(Ordering::Relaxed), 0, "the writer looks at no selector");
    let seen: Vec<_> =
        watches.iter_mut().map(drain).enumerate().filter(|(_, seen)| !seen.is_empty()).collect();
    assert_eq!(looked_at.load(Ordering::Relaxed), 3);
    let want = [(4, "ADDED p4 3"), (5, "ADDED p5 4"), (6, "ADDED p4 3")];
    assert_eq!(seen, want.map(|(number, line)| (number, vec![line.to_owned()])));
    watches.retain({
        let mut number = 0;
        move |_| {
            number += 1;
            number % 2 == 0
        }
    });
    assert_eq!(world.pods.watcher_count(), WATCHERS / 2);
    drop(watches);
    assert_eq!(world.pods.watcher_count(), 0);
}

#[test]
fn another_form_is_made_once_for_all_watchers() {
    let world = world();
    let mut watches: Vec<_> = (0..50).map(|_| world.watch(Start::After(1), Filter::all())).collect();
    world.put("ns/a", "1", "");
    world.put("ns/a", "2", "");
    let mut made = 0;
    for watch in &mut watches {
        for want in ["ADDED 1", "MODIFIED 1"] {
            let event = event(watch);
            let frame = event.encoded(1, || {
                made += 1;
                Ok::<_, Error>(format!("{} 1", event.kind().as_str()).into())
            });
            assert_eq!(frame.expect("it can be made"), want);
        }
    }
    assert_eq!(made, 2);
}

#[test]
fn frames_are_right_and_made_once() {
    let world = world();
    let mut all = world.watch(Start::After(1), Filter::all());
    let mut other = world.watch(Start::After(1), Filter::all());
    let mut web = world.watch(Start::After(1), with_app("web"));
    world.put("ns/a", "db", "");
    world.put("ns/a", "web", "");
    world.put("ns/a", "db", "");
    world.delete("ns/a");
    let frame = |kind: &str, object: String| format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
    let want = [
        frame("ADDED", served("ns/a", "db", "", 2)),
        frame("MODIFIED", served("ns/a", "web", "", 3)),
        frame("MODIFIED", served("ns/a", "db", "", 4)),
        frame("DELETED", served("ns/a", "db", "", 5)),
    ];
    for want in &want {
        let (one, two) = (event(&mut all), event(&mut other));
        assert_eq!(one.frame(), want);
        assert_eq!(one.frame().as_ptr(), two.frame().as_ptr(), "both watchers share the bytes");
        assert_eq!(want, &frame(one.kind().as_str(), String::from_utf8_lossy(&one.object()).into_owned()));
    }
    let added = event(&mut web);
    assert_eq!(added.frame(), frame("ADDED", served("ns/a", "web", "", 3)));
    assert_eq!(added.object(), served("ns/a", "web", "", 3));
    let deleted = event(&mut web);
    assert_eq!(deleted.kind(), WatchEventType::Deleted);
    assert_eq!(deleted.frame(), frame("DELETED", served("ns/a", "web", "", 4)));
    assert_eq!(deleted.object(), served("ns/a", "web", "", 4), "the last that matched, at this revision");
    world.put("ns/b", "db", "");
    world.put("ns/b", "web", "");
    let mut present = world.watch(Start::Initial { mark_end: false }, Filter::all());
    assert_eq!(event(&mut present).frame(), frame("ADDED", served("ns/b", "web", "", 7)));
}

#[test]
fn progress_is_what_was_yielded() {
    let world = world();
    let mut watch = world.watch(Start::After(1), Filter::all());
    assert_eq!(watch.progress(), Some(1));
    let other = world.elsewhere();
    assert_eq!(watch.progress(), Some(other), "nothing of it is for this watcher");
    let pod = world.put("ns/a", "1", "");
    world.elsewhere();
    assert_eq!(watch.progress(), Some(other), "an event waits to be read");
    assert_eq!(drain(&mut watch), [format!("ADDED a {pod}")]);
    assert_eq!(watch.progress(), Some(pod + 1));
    let mut present = world.watch(Start::Initial { mark_end: true }, Filter::all());
    assert_eq!(present.progress(), None);
    drain(&mut present);
    assert_eq!(present.progress(), Some(pod + 1));
}

#[test]
fn what_is_older_than_the_ring_is_expired() {
    let world = world_with(Limits { ring_changes: 3, ..Limits::default() });
    for app in ["1", "2", "3", "4", "5"] {
        world.put("ns/a", app, "");
    }
    let start = |revision| world.pods.watch(Start::After(revision), Filter::all()).err();
    assert_eq!(start(2), expired(3));
    assert_eq!(start(0), expired(3));
    assert_eq!(start(3), None);
    let bytes = world_with(Limits { history_bytes: 5000, ..Limits::default() });
    for number in 0..100 {
        bytes.put("ns/a", &number.to_string(), "");
    }
    assert!(bytes.cache.history_bytes() <= 5000, "{}", bytes.cache.history_bytes());
    assert!(bytes.pods.watch(Start::After(50), Filter::all()).is_err());
    assert!(bytes.pods.watch(Start::After(100), Filter::all()).is_ok());
}

#[test]
fn a_watcher_that_does_not_read_holds_nothing_back() {
    let world = world_with(Limits { history_bytes: 1 << 20, ..Limits::default() });
    // One that reads the whole ring, one with a selector, and one that an index files.
    let filters =
        || [Filter::all(), with_app("x"), Filter { field: Some((0, "n1".into())), ..Filter::all() }];
    let mut unread: Vec<_> = filters().map(|filter| world.watch(Start::After(1), filter)).into();
    let mut read = world.watch(Start::After(1), Filter::all());
    let large = "x".repeat(100_000);
    let weak: Vec<_> = (0..50)
        .map(|_| {
            world.put("ns/a", &large, "n1");
            drain(&mut read);
            Arc::downgrade(&world.pods.get(&key("ns/a")).expect("it is there"))
        })
        .collect();
    let alive = weak.iter().filter(|entry| entry.upgrade().is_some()).count();
    assert!(alive <= 12, "{alive} of 50 large objects are kept");
    for watch in &mut unread {
        assert!(matches!(watch.try_next(), Some(Err(Error::TooSlow))));
        assert!(watch.try_next().is_none());
    }
    assert_eq!(world.pods.watcher_count(), 4);
    drop(unread);
    assert_eq!(world.pods.watcher_count(), 1);
}

#[test]
fn the_past_is_given_back_when_nothing_happens() {
    let world = world();
    let large = "x".repeat(100_000);
    for number in 0..200 {
        world.put(&format!("ns/{number}"), &large, "");
        world.delete(&format!("ns/{number}"));
    }
    assert!(world.cache.history_bytes() > 10_000_000);
    world.pass(74);
    assert!(world.pods.watch(Start::After(2), Filter::all()).is_ok(), "young enough");
    world.pass(2);
    assert!(world.cache.history_bytes() < 70_000, "{}", world.cache.history_bytes());
    // What is small stays for a while longer.
    for number in 0..10 {
        world.put("ns/small", &number.to_string(), "");
    }
    world.pass(1000);
    assert!(world.pods.watch(Start::After(world.cache.revision() - 9), Filter::all()).is_ok());
}

#[test]
fn a_frame_of_any_size_is_made_once_for_watchers_that_send_it_at_once() {
    let world = world();
    let mut watches: Vec<_> = (0..50).map(|_| world.watch(Start::After(1), with_app("y"))).collect();
    world.put("ns/a", "y", &"x".repeat(3 << 20));
    // With the next one, the large one is not among the recent ones any more.
    world.put("ns/b", "z", "");
    let mut made = 0;
    let frames: Vec<_> = watches
        .iter_mut()
        .map(|watch| {
            let frame = event(watch).encoded(1, || {
                made += 1;
                Ok::<_, Error>("frame".into())
            });
            frame.expect("it can be made")
        })
        .collect();
    assert_eq!((made, frames.len()), (1, 50));
}

#[test]
fn another_form_of_a_deletion_is_made_from_its_object() {
    let world = world();
    world.put("ns/a", "y", "");
    let mut watch = world.watch(Start::After(2), Filter::all());
    world.delete("ns/a");
    let deleted = event(&mut watch);
    assert_eq!(deleted.kind(), WatchEventType::Deleted);
    // A deletion's object is read out of its plain frame, which is shared too. On a thread of its own, so that a
    // form that waits for itself fails the test and does not hold it up.
    let (send, made) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(deleted.encoded(1, || Ok::<_, Error>(deleted.object()))));
    let form = made.recv_timeout(std::time::Duration::from_secs(10)).expect("the form waits for itself");
    let form = form.expect("it can be made");
    assert!(form.starts_with(b"{"), "{form:?}");
}

#[test]
fn a_slow_watcher_is_cut_off_alone() {
    let world = world_with(Limits { watcher_queue: 2, ring_changes: 3, ..Limits::default() });
    let mut slow = world.watch(Start::After(1), Filter::all());
    let namespace = || Filter { scope: Scope::Namespace("ns".into()), ..Filter::all() };
    let mut filed = world.watch(Start::After(1), namespace());
    let mut quick = world.watch(Start::After(1), Filter::all());
    let error = format!("ERROR {}", Error::TooSlow);
    for app in ["1", "2", "3"] {
        world.put("ns/a", app, "");
        assert_eq!(drain(&mut quick).len(), 1);
    }
    assert_eq!(drain(&mut filed), ["ADDED a 2", "MODIFIED a 3", error.as_str()]);
    world.put("ns/a", "4", "");
    assert_eq!(drain(&mut quick).len(), 1);
    assert_eq!(drain(&mut slow), [error]);
    for mut watch in [slow, filed] {
        assert_eq!(stdx::block_on(watch.next()).map(|item| item.is_ok()), None);
    }
    assert_eq!(world.pods.watcher_count(), 1);
}

#[test]
fn watchers_are_limited_and_forgotten() {
    let world = world_with(Limits { watchers: 2, ..Limits::default() });
    let first = world.watch(Start::After(1), Filter::all());
    let filter = Filter { field: Some((0, "n1".into())), ..Filter::all() };
    let second = world.watch(Start::After(1), filter);
    let refused = world.pods.watch(Start::After(1), Filter::all()).err();
    assert_eq!(refused, Some(Error::TooManyWatchers { limit: 2 }));
    drop(first);
    drop(second);
    assert_eq!(world.pods.watcher_count(), 0);
    let mut ended = world.watch(Start::After(1), Filter::all());
    world.put("ns/a", "1", "");
    world.cache.unregister(PODS);
    assert_eq!(drain(&mut ended), ["ADDED a 2"]);
    assert!(stdx::block_on(ended.next()).is_none(), "the stream ends");
    assert_eq!(world.pods.watch(Start::After(2), Filter::all()).err(), Some(Error::Unregistered));
}

#[test]
fn one_transaction_over_several_objects_is_seen_whole() {
    let world = world();
    let mut watch = world.watch(Start::After(1), Filter::all());
    let put = |path: &str| Op::Put { key: key(path).into(), value: pod(path, "1", "").into() };
    let revision = world.commit(vec![
        put("ns/a"),
        Op::Put { key: format!("{NODES}n").into(), value: "{}".into() },
        put("ns/b"),
    ]);
    assert_eq!(drain(&mut watch), [format!("ADDED a {revision}"), format!("ADDED b {revision}")]);
    assert_eq!(watch.progress(), Some(revision));
}

#[test]
fn a_watch_of_many_unwanted_objects_lets_others_run() {
    let world = world();
    for number in 0..2000 {
        world.put(&format!("ns/p{number}"), "db", "");
    }
    let wanted = world.put("ns/z", "web", "");
    let mut watch = world.watch(Start::Initial { mark_end: true }, with_app("web"));
    let mut polls = 0;
    let item = loop {
        polls += 1;
        if let Some(item) = watch.try_next() {
            break item;
        }
    };
    assert!(matches!(item, Ok(WatchItem::Event(event)) if event.revision() == wanted));
    assert!(polls > 2);
}

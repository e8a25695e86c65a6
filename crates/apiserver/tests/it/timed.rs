//! What takes time: watches that last, reads of what has not happened yet, over a timer that the test holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use apiserver::Timer;
use futures_util::StreamExt;
use meta::{Body, BoxFuture, Handler, Response, Verb};
use serde_json::json;

use crate::harness::{World, parse_query, read};

/// Seconds that have passed; a sleep is over when its deadline has come.
#[derive(Default)]
struct Hand(Arc<AtomicU64>);

impl Timer for Hand {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let now = self.0.clone();
        let until = now.load(Ordering::SeqCst) + duration.as_secs();
        Box::pin(std::future::poll_fn(move |_| {
            if now.load(Ordering::SeqCst) >= until { Poll::Ready(()) } else { Poll::Pending }
        }))
    }
}

#[test]
fn bookmarks_come_and_the_deadline_ends_it() {
    let hand = Hand::default();
    let seconds = hand.0.clone();
    let w = World::with(|c| c.timer = Arc::new(hand));
    let mut watch = w.watch("configmaps", "default", "allowWatchBookmarks=true&timeoutSeconds=100");
    assert!(watch.now().is_empty());
    w.create("namespaces", "", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}))
        .expect(201);
    seconds.store(61, Ordering::SeqCst);
    let events = watch.now();
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["type"], &events[0]["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
    let current = w.list("configmaps", "", "").at("/metadata/resourceVersion");
    assert_eq!(events[0]["object"]["metadata"]["resourceVersion"], current);
    seconds.store(101, Ordering::SeqCst);
    let Body::Stream(s) = &mut watch.response.body else { panic!("a watch is a stream") };
    assert!(matches!(s.poll_next_unpin(&mut Context::from_waker(Waker::noop())), Poll::Ready(None)));
}

#[test]
fn a_read_of_the_future_waits_for_it_and_then_gives_up() {
    let hand = Hand::default();
    let seconds = hand.0.clone();
    let w = World::with(|c| c.timer = Arc::new(hand));
    let object = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let made = w.create("configmaps", "default", &object("a")).expect(201);
    let current: u64 = made.at("/metadata/resourceVersion").parse().unwrap();
    let ask = |verb: Verb, name: &str, query: &str| {
        let mut r = w.request(verb, "configmaps", "default", name);
        r.query = parse_query(query);
        w.server.handle(r)
    };
    let poll = |f: &mut BoxFuture<'_, Response>| f.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let next = format!("resourceVersion={}", current + 1);
    let mut waiting = [
        ask(Verb::Get, "a", &next),
        ask(Verb::List, "", &next),
        ask(Verb::List, "", &format!("{next}&resourceVersionMatch=Exact")),
        ask(Verb::Watch, "", &next),
    ];
    assert!(waiting.iter_mut().all(|f| poll(f).is_pending()));
    w.create("configmaps", "default", &object("b")).expect(201);
    for f in &mut waiting {
        let Poll::Ready(response) = poll(f) else { panic!("it has happened") };
        assert_eq!(response.code, 200);
    }
    let far = format!("resourceVersion={}", current + 100);
    for (verb, name) in [(Verb::Get, "a"), (Verb::List, ""), (Verb::Watch, "")] {
        seconds.store(0, Ordering::SeqCst);
        let mut waiting = ask(verb, name, &far);
        for (now, ready) in [(0, false), (2, false), (3, true)] {
            seconds.store(now, Ordering::SeqCst);
            let Poll::Ready(response) = poll(&mut waiting) else {
                assert!(!ready, "{verb:?} still waits");
                continue;
            };
            assert!(ready, "{verb:?} gave up after {now} s");
            let answer = stdx::block_on(read(response)).expect(504);
            let want =
                format!("Timeout: Too large resource version: {}, current: {}", current + 100, current + 1);
            assert_eq!((answer.message(), answer.at("/reason")), (want, "Timeout".to_owned()));
            assert_eq!(answer.at("/details/causes/0/reason"), "ResourceVersionTooLarge");
            assert_eq!(answer.at("/details/retryAfterSeconds"), "1");
        }
    }
}

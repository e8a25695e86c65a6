//! Watches that last: bookmarks and deadlines, over a timer that the test holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use apiserver::Timer;
use futures_util::StreamExt;
use meta::{Body, BoxFuture};
use serde_json::json;

use crate::harness::World;

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

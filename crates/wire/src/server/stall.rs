//! Ends HTTP/2 streams whose client takes nothing of them any more while it keeps the connection alive. It must cost
//! a stream nothing while its client reads.
//!
//! A body that has given something away is asked for more as soon as there is room for it. While it is not asked,
//! the client is not reading; a body that is asked and has nothing is only waiting for events.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

tokio::task_local! {
    /// The stream whose task is being polled.
    static STREAM: Arc<Flow>;
}

/// How long a stream may be stuck.
#[derive(Clone)]
pub(crate) struct Patience {
    pub(crate) usual: Duration,
    /// When all streams together have more than `limit_bytes` unsent.
    pub(crate) pressed: Duration,
    pub(crate) limit_bytes: usize,
    /// Bytes that bodies have given away and that were not sent, of all streams.
    pub(crate) unsent: Arc<AtomicUsize>,
}

impl Patience {
    fn now(&self) -> Duration {
        if self.unsent.load(Ordering::Relaxed) > self.limit_bytes { self.pressed } else { self.usual }
    }
}

/// What one stream's body has given away.
struct Flow {
    /// Bytes given and not asked beyond.
    pending: AtomicUsize,
    /// Counts what was given.
    given: AtomicU64,
    unsent: Arc<AtomicUsize>,
}

impl Flow {
    fn settle(&self) {
        let pending = self.pending.swap(0, Ordering::Relaxed);
        if pending > 0 {
            self.unsent.fetch_sub(pending, Ordering::Relaxed);
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.settle();
    }
}

/// The body of the running stream is asked for more.
pub(crate) fn asked() {
    let _ = STREAM.try_with(|flow| flow.settle());
}

/// The body of the running stream has given so many bytes away.
pub(crate) fn gave(bytes: usize) {
    let _ = STREAM.try_with(|flow| {
        flow.pending.store(bytes, Ordering::Relaxed);
        flow.given.fetch_add(1, Ordering::Relaxed);
        flow.unsent.fetch_add(bytes, Ordering::Relaxed);
    });
}

/// Runs each stream of an HTTP/2 connection as a task that ends when it is stuck for too long: the client then sees
/// the stream reset.
#[derive(Clone)]
pub(crate) struct Streams(pub(crate) Patience);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let patience = self.0.clone();
        let (pending, given) = (AtomicUsize::new(0), AtomicU64::new(0));
        let flow = Arc::new(Flow { pending, given, unsent: patience.unsent.clone() });
        tokio::spawn(STREAM.scope(flow.clone(), watched(stream, flow, patience)));
    }
}

async fn watched(stream: impl Future<Output = ()>, flow: Arc<Flow>, patience: Patience) {
    let mut stream = pin!(stream);
    let mut stuck: Option<(u64, Pin<Box<Sleep>>)> = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if flow.pending.load(Ordering::Relaxed) == 0 {
            stuck = None;
            return Poll::Pending;
        }
        let given = flow.given.load(Ordering::Relaxed);
        if stuck.as_ref().is_none_or(|(since, _)| *since != given) {
            stuck = Some((given, Box::pin(tokio::time::sleep(patience.now()))));
        }
        if let Some((_, sleep)) = &mut stuck {
            ready!(sleep.as_mut().poll(cx));
        }
        tracing::debug!("a stream is ended: its client does not read");
        Poll::Ready(())
    })
    .await;
}

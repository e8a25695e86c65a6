//! The server's timer on virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use meta::BoxFuture;
use parking_lot::Mutex;
use sys::{Clock, ManualClock};

#[derive(Default)]
struct Waits {
    next: u64,
    wakers: BTreeMap<(i64, u64), Waker>,
}

/// Wakes what waits when the world says that the time has come.
pub struct VirtualTimer {
    clock: Arc<ManualClock>,
    waits: Arc<Mutex<Waits>>,
}

impl VirtualTimer {
    /// A timer on this clock.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>) -> Self {
        VirtualTimer { clock, waits: Arc::default() }
    }

    /// The next deadline that somebody waits for, in milliseconds of the epoch.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        self.waits.lock().wakers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Wakes everybody whose time has come.
    pub fn fire(&self) {
        let now = self.clock.now().as_millisecond();
        loop {
            let waker = {
                let mut waits = self.waits.lock();
                match waits.wakers.first_entry() {
                    Some(e) if e.key().0 <= now => e.remove(),
                    _ => return,
                }
            };
            waker.wake();
        }
    }
}

impl apiserver::Timer for VirtualTimer {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let at = self.clock.now().as_millisecond().saturating_add(millis);
        let id = {
            let mut waits = self.waits.lock();
            waits.next += 1;
            waits.next
        };
        Box::pin(Sleep { clock: self.clock.clone(), waits: self.waits.clone(), key: (at, id) })
    }
}

struct Sleep {
    clock: Arc<ManualClock>,
    waits: Arc<Mutex<Waits>>,
    key: (i64, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now().as_millisecond() >= self.key.0 {
            return Poll::Ready(());
        }
        self.waits.lock().wakers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.waits.lock().wakers.remove(&self.key);
    }
}

//! A bounded queue from one producer to one consumer in which the producer never waits: a consumer that
//! falls behind by more than the limit is cut off and told so. The producer gets the consumer's waker
//! back instead of waking it, so that it can finish a batch and release its locks before it wakes anyone.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// The consumer fell behind by more than the queue's limit; what came after is lost to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overrun;

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader was too slow and was cut off")
    }
}

impl std::error::Error for Overrun {}

/// Nobody reads the queue any more, or the reader was cut off: the producer may forget it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The consumer still gets what is queued, then `Overrun`.
    Overrun,
    /// The producer ended the stream; the consumer still gets what is queued.
    Ended,
    /// The consumer went away.
    Dropped,
}

struct Inner<T> {
    queue: VecDeque<T>,
    waker: Option<Waker>,
    state: State,
}

struct Shared<T> {
    inner: Mutex<Inner<T>>,
    limit: usize,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The producing end.
pub struct Sender<T>(Arc<Shared<T>>);

/// The consuming end. Dropping it tells the producer at its next push.
pub struct Receiver<T>(Arc<Shared<T>>);

/// A queue that holds at most `limit` items.
pub fn channel<T>(limit: usize) -> (Sender<T>, Receiver<T>) {
    let inner = Inner { queue: VecDeque::new(), waker: None, state: State::Open };
    let shared = Arc::new(Shared { inner: Mutex::new(inner), limit });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    /// Appends one item. The returned waker, if any, must be woken by the caller.
    pub fn push(&self, item: T) -> Result<Option<Waker>, Gone> {
        self.push_all(std::iter::once(item))
    }

    /// Appends all items under one lock. The returned waker, if any, must be woken by the caller.
    /// When they do not fit, the consumer is cut off behind what did fit; that is told to the producer
    /// as `Gone` at its next push.
    pub fn push_all(&self, items: impl IntoIterator<Item = T>) -> Result<Option<Waker>, Gone> {
        let mut inner = self.0.lock();
        if inner.state != State::Open {
            return Err(Gone);
        }
        let before = inner.queue.len();
        for item in items {
            if inner.queue.len() >= self.0.limit {
                inner.state = State::Overrun;
                return Ok(inner.waker.take());
            }
            inner.queue.push_back(item);
        }
        if inner.queue.len() == before { Ok(None) } else { Ok(inner.waker.take()) }
    }

    /// Whether the consumer went away or was cut off.
    pub fn is_gone(&self) -> bool {
        self.0.lock().state != State::Open
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut inner = self.0.lock();
            if inner.state == State::Open {
                inner.state = State::Ended;
            }
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// The next item; `Some(Err(Overrun))` once when cut off; `None` when the producer is gone.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, Overrun>>> {
        let mut inner = self.0.lock();
        if let Some(item) = inner.queue.pop_front() {
            if inner.queue.is_empty() && inner.queue.capacity() > 64 {
                inner.queue.shrink_to(16);
            }
            return Poll::Ready(Some(Ok(item)));
        }
        match inner.state {
            State::Open => {
                if !inner.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                    inner.waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
            State::Overrun => {
                inner.state = State::Ended;
                Poll::Ready(Some(Err(Overrun)))
            }
            State::Ended | State::Dropped => Poll::Ready(None),
        }
    }

    /// Whether nothing is queued right now.
    pub fn is_empty(&self) -> bool {
        self.0.lock().queue.is_empty()
    }

    /// Awaits the next item, as `poll_next`.
    pub async fn next(&mut self) -> Option<Result<T, Overrun>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The next item if one is queued; does not register for a wake-up.
    pub fn try_next(&mut self) -> Option<Result<T, Overrun>> {
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let dropped = {
            let mut inner = self.0.lock();
            inner.state = State::Dropped;
            inner.waker = None;
            std::mem::take(&mut inner.queue)
        };
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_reader_gets_what_fitted_then_the_error() {
        let (sender, mut receiver) = channel(2);
        assert!(sender.push_all([1, 2, 3]).is_ok());
        assert_eq!(sender.push(4).err(), Some(Gone));
        assert_eq!(receiver.try_next(), Some(Ok(1)));
        assert_eq!(receiver.try_next(), Some(Ok(2)));
        assert_eq!(receiver.try_next(), Some(Err(Overrun)));
        assert_eq!(crate::block_on(receiver.next()), None);
    }

    #[test]
    fn ends_when_either_side_goes() {
        let (sender, mut receiver) = channel(2);
        assert!(sender.push(1).is_ok());
        drop(sender);
        assert_eq!(crate::block_on(receiver.next()), Some(Ok(1)));
        assert_eq!(crate::block_on(receiver.next()), None);

        let (sender, receiver) = channel(2);
        drop(receiver);
        assert!(sender.is_gone());
        assert_eq!(sender.push(1).err(), Some(Gone));
    }

    #[test]
    fn waker_is_handed_back_once_per_wait() {
        let (sender, mut receiver) = channel(4);
        let mut context = Context::from_waker(Waker::noop());
        assert!(receiver.poll_next(&mut context).is_pending());
        assert!(sender.push(1).expect("open").is_some());
        assert!(sender.push(2).expect("open").is_none());
        assert!(sender.push_all(std::iter::empty()).expect("open").is_none());
    }
}

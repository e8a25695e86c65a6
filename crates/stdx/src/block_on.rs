//! Drives one future on the current thread. For tests, tools and the simulation; never to be called
//! inside a runtime's worker thread, which it would block.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `future` to its end on this thread, parking the thread while the future is not ready.
/// A future that is ready at its first poll never parks.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_and_cross_thread_futures_end() {
        assert_eq!(block_on(async { 7 }), 7);
        let (sender, mut receiver) = crate::cutoff::channel::<u32>(4);
        let writer = thread::spawn(move || {
            if let Some(waker) = sender.push(9).expect("the queue has room") {
                waker.wake();
            }
        });
        assert_eq!(block_on(receiver.next()), Some(Ok(9)));
        writer.join().expect("the writer does not panic");
    }
}

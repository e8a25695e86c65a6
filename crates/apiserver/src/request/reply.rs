//! An answer that is there already, or comes later. What is known at once costs no allocation, and still others
//! may ask the network.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use meta::BoxFuture;

/// A future that mostly is no more than its value.
pub struct Reply<'a, T>(Inner<'a, T>);

enum Inner<'a, T> {
    Now(Option<T>),
    Later(BoxFuture<'a, T>),
}

impl<'a, T> Reply<'a, T> {
    /// The answer itself.
    pub fn now(answer: T) -> Self {
        Reply(Inner::Now(Some(answer)))
    }

    /// An answer that is waited for.
    pub fn later(answer: BoxFuture<'a, T>) -> Self {
        Reply(Inner::Later(answer))
    }

    /// The answer, or else what to wait for.
    ///
    /// # Errors
    /// The future, when the answer is not there.
    pub fn ready(self) -> Result<T, BoxFuture<'a, T>> {
        match self.0 {
            Inner::Now(answer) => Ok(answer.expect("a reply is taken once")),
            Inner::Later(answer) => Err(answer),
        }
    }
}

impl<T: Unpin> Future for Reply<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.get_mut().0 {
            Inner::Now(answer) => Poll::Ready(answer.take().expect("a reply is awaited once")),
            Inner::Later(answer) => answer.as_mut().poll(cx),
        }
    }
}

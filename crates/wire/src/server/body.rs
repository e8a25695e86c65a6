//! Response bodies: whole, in known pieces, or as they come. It must never assemble a list, and never wait
//! with a watch event that is there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use meta::{Admission, BodyStream};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::connections::Busy;
use super::gzip::Gzip;
use super::{Shared, stall};

/// Pieces shorter than this are copied together; longer ones go out as they are.
const SHORT_BYTES: usize = 16 << 10;
/// The size of what is copied together.
const FRAME_BYTES: usize = 64 << 10;
/// After so much other connections get their turn.
const TURN_BYTES: usize = 1 << 20;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("{0}")]
    Status(Box<meta::Status>),
    #[error("the response's stream panicked")]
    Panic,
    #[error(transparent)]
    Upstream(#[from] hyper::Error),
    #[error(transparent)]
    Gzip(#[from] std::io::Error),
}

/// What hyper sends, with what has to last until it is sent.
pub(crate) struct Held {
    body: WireBody,
    _busy: Option<Busy>,
}

impl Held {
    pub(crate) fn new(body: WireBody, busy: Busy) -> Held {
        // An answer without a body is done: the connection need not wait for hyper to let go of it.
        let _busy = (!http_body::Body::is_end_stream(&body)).then_some(busy);
        Held { body, _busy }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        stall::asked();
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            stall::gave(frame.data_ref().map_or(0, Bytes::len));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body by its kind.
pub(crate) enum WireBody {
    Empty,
    Full(Bytes),
    Chunks(Chunks),
    Stream(Box<Streamed>),
    Gzip(Box<Gzip>),
    /// The body of another server's answer.
    Incoming(Box<Carried>),
}

/// What another server sends, carried on.
pub(crate) struct Carried {
    /// What was read of it before.
    head: Bytes,
    rest: Incoming,
    /// Lives as long.
    #[expect(dead_code, reason = "it is only held")]
    admission: Option<Arc<Admission>>,
}

impl WireBody {
    /// What another server sends, after what was read of it before.
    pub(crate) fn incoming(head: Bytes, rest: Incoming, admission: Option<Arc<Admission>>) -> Self {
        WireBody::Incoming(Box::new(Carried { head, rest, admission }))
    }
}

impl http_body::Body for WireBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            WireBody::Empty => Poll::Ready(None),
            WireBody::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = WireBody::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            WireBody::Chunks(c) => c.poll(cx).map(|o| o.map(|b| Ok(Frame::data(b)))),
            WireBody::Stream(s) => s.poll(cx).map(|o| o.map(|r| r.map(Frame::data))),
            WireBody::Gzip(g) => Poll::Ready(g.next().map(|r| r.map(Frame::data).map_err(BodyError::from))),
            WireBody::Incoming(c) if !c.head.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut c.head)))))
            }
            WireBody::Incoming(c) => {
                Pin::new(&mut c.rest).poll_frame(cx).map(|o| o.map(|r| r.map_err(BodyError::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            WireBody::Empty => true,
            WireBody::Full(b) => b.is_empty(),
            WireBody::Chunks(c) => c.left == 0,
            WireBody::Stream(_) | WireBody::Gzip(_) => false,
            WireBody::Incoming(c) => c.head.is_empty() && c.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            WireBody::Empty => SizeHint::with_exact(0),
            WireBody::Full(b) => SizeHint::with_exact(b.len() as u64),
            WireBody::Chunks(c) => SizeHint::with_exact(c.left),
            WireBody::Stream(_) | WireBody::Gzip(_) => SizeHint::default(),
            WireBody::Incoming(c) if c.head.is_empty() => c.rest.size_hint(),
            WireBody::Incoming(_) => SizeHint::default(),
        }
    }
}

/// Known pieces in order.
pub(crate) struct Chunks {
    rest: std::vec::IntoIter<Bytes>,
    held: Option<Bytes>,
    pub(crate) left: u64,
    turn: usize,
}

impl Chunks {
    pub(crate) fn new(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(|b| b.len() as u64).sum();
        Chunks { rest: pieces.into_iter(), held: None, left, turn: 0 }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = self.take();
        if let Some(f) = &frame {
            self.turn += f.len();
        }
        Poll::Ready(frame)
    }

    /// The next frame: a long piece as it is, or short ones together.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let first = loop {
            let piece = self.held.take().or_else(|| self.rest.next())?;
            if !piece.is_empty() {
                break piece;
            }
        };
        let alone = first.len() >= SHORT_BYTES || self.left == first.len() as u64;
        let frame = if alone { first } else { self.together(&first) };
        self.left -= frame.len() as u64;
        Some(frame)
    }

    fn together(&mut self, first: &Bytes) -> Bytes {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(FRAME_BYTES + SHORT_BYTES);
        let mut frame = BytesMut::with_capacity(room);
        frame.extend_from_slice(first);
        while frame.len() < FRAME_BYTES {
            let Some(piece) = self.rest.next() else { break };
            if piece.len() >= SHORT_BYTES {
                self.held = Some(piece);
                break;
            }
            frame.extend_from_slice(&piece);
        }
        frame.freeze()
    }
}

/// A stream that ends when the server stops.
pub(crate) struct Streamed {
    source: BodyStream,
    shared: Arc<Shared>,
    /// Who is to be woken when the server stops, and the future that does it.
    stop: Option<(Waker, Pin<Box<WaitForCancellationFutureOwned>>)>,
    /// What came behind the last frame and is too long to be copied.
    held: Option<Bytes>,
    /// What the source said behind the last frame.
    end: Option<End>,
}

/// How a stream ended.
enum End {
    /// Not told yet; `None` is a clean end.
    Fresh(Option<BodyError>),
    Flushed(BodyError),
}

impl Streamed {
    pub(crate) fn new(source: BodyStream, shared: Arc<Shared>) -> Self {
        Streamed { source, shared, stop: None, held: None, end: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(held) = self.held.take() {
            return Poll::Ready(Some(Ok(held)));
        }
        if let Some(end) = self.end.take() {
            return self.finish(end, cx);
        }
        if self.is_stopped(cx) {
            return Poll::Ready(None);
        }
        match self.poll_source(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Some(Ok(self.burst(bytes, cx)))),
            Poll::Ready(end) => self.finish(End::Fresh(end.and_then(Result::err)), cx),
        }
    }

    /// Before an error cuts the connection, what was there before it gets its chance to be flushed.
    fn finish(&mut self, end: End, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match end {
            End::Fresh(Some(error)) => {
                self.end = Some(End::Flushed(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            End::Flushed(error) => {
                self.end = Some(End::Fresh(None));
                Poll::Ready(Some(Err(error)))
            }
            End::Fresh(None) => {
                self.end = Some(End::Fresh(None));
                Poll::Ready(None)
            }
        }
    }

    /// What is there already goes out in one frame, but for long pieces: those are shared, not copied.
    fn burst(&mut self, first: Bytes, cx: &mut Context<'_>) -> Bytes {
        if first.len() >= SHORT_BYTES {
            return first;
        }
        let mut more = BytesMut::new();
        while first.len() + more.len() < FRAME_BYTES {
            match self.poll_source(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(bytes))) if bytes.len() >= SHORT_BYTES => {
                    self.held = Some(bytes);
                    break;
                }
                Poll::Ready(Some(Ok(bytes))) => {
                    if more.is_empty() {
                        more.reserve(first.len() + bytes.len().max(4 << 10));
                        more.extend_from_slice(&first);
                    }
                    more.extend_from_slice(&bytes);
                }
                Poll::Ready(end) => {
                    self.end = Some(End::Fresh(end.and_then(Result::err)));
                    break;
                }
            }
        }
        if more.is_empty() { first } else { more.freeze() }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let source = &mut self.source;
        match catch_unwind(AssertUnwindSafe(|| source.as_mut().poll_next(cx))) {
            Ok(poll) => poll.map(|o| o.map(|r| r.map_err(|s| BodyError::Status(Box::new(s))))),
            Err(_) => {
                tracing::error!("the stream of a response panicked");
                Poll::Ready(Some(Err(BodyError::Panic)))
            }
        }
    }

    fn is_stopped(&mut self, cx: &mut Context<'_>) -> bool {
        if self.shared.stopped.load(Ordering::Acquire) {
            return true;
        }
        if self.stop.as_ref().is_none_or(|(waker, _)| !waker.will_wake(cx.waker())) {
            let mut stopping = Box::pin(self.shared.stopping.clone().cancelled_owned());
            let done = stopping.as_mut().poll(cx).is_ready();
            self.stop = Some((cx.waker().clone(), stopping));
            return done;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_pieces_go_together_and_long_ones_as_they_are() {
        let long = Bytes::from(vec![b'x'; SHORT_BYTES]);
        let short = Bytes::from_static(b"ab");
        let pieces = vec![short.clone(), Bytes::new(), short.clone(), long.clone(), short.clone()];
        let mut chunks = Chunks::new(pieces);
        assert_eq!(chunks.left, 6 + SHORT_BYTES as u64);
        assert_eq!(chunks.take().as_deref(), Some(&b"abab"[..]));
        let sent = chunks.take().expect("the long one");
        assert_eq!(sent.as_ptr(), long.as_ptr(), "not copied");
        assert_eq!(chunks.take().as_deref(), Some(&b"ab"[..]));
        assert_eq!(chunks.left, 0);
        assert_eq!(chunks.take(), None);
    }

    #[test]
    fn many_short_pieces_make_frames_of_bounded_size() {
        let mut chunks = Chunks::new(vec![Bytes::from(vec![b'x'; 1000]); 1000]);
        let mut sum = 0;
        while let Some(frame) = chunks.take() {
            assert!(frame.len() <= FRAME_BYTES + SHORT_BYTES);
            sum += frame.len();
        }
        assert_eq!(sum, 1_000_000);
    }
}

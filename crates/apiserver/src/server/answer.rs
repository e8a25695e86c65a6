//! What every answer gets on its way out: the audit id, and the admission for as long as it lasts.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use meta::{Admission, Body, BodyStream, Response, Status};

use crate::audit;

/// Says the audit id.
pub(super) fn named(mut response: Response, audit_id: String) -> Response {
    response.headers.push((audit::HEADER, audit_id));
    response
}

/// Keeps the admission until a stream ends or is given up. Whatever else answers is there already.
pub(super) fn kept(mut response: Response, admission: Arc<Admission>) -> Response {
    response.body = match response.body {
        Body::Stream(stream) => Body::Stream(Box::pin(Kept { stream, _admission: admission })),
        other => other,
    };
    response
}

struct Kept {
    stream: BodyStream,
    _admission: Arc<Admission>,
}

impl Stream for Kept {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

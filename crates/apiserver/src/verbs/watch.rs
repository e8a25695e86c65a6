//! watch: a stream of frames that all watchers share. It must never wait for a slow client: the cache cuts
//! such a watch off.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use meta::{Body, BoxFuture, Response, Status};
use watchcache::{Error, Filter, Start, Watch, WatchItem};

use crate::content::{self, frames::Frames};
use crate::registry::selector::Selection;
use crate::request::options::{Consistency, ListOptions};
use crate::storage::{Call, Timer, page};

/// Time between bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Watches without a timeout of their own last between this and twice this.
// k8s: --min-request-timeout
const MIN_TIMEOUT_SECONDS: u64 = 1800;

/// Answers a watch.
pub(crate) async fn answer(call: &Call<'_>) -> Result<Response, Status> {
    let accepted = content::negotiate(call.request, true)?;
    let options = ListOptions::parse(&call.request.query, true)?;
    let r = &call.resource;
    let field_text = match call.name {
        "" => options.field_selector.clone(),
        // The old path of a watch on one object.
        name if options.field_selector.is_empty() => format!("metadata.name={name}"),
        name => format!("metadata.name={name},{}", options.field_selector),
    };
    let selection = Arc::new(Selection::parse(&options.label_selector, &field_text, r)?);
    let frames = Frames::new(r.clone(), &accepted, call.request, call.now)?;
    let content_type = frames.content_type();
    let start = start(call, &options).await?;
    let filter = filter(call, &selection);
    let watch = match r.cache.watch(start, filter) {
        Ok(watch) => watch,
        Err(Error::Expired { oldest }) => {
            let wanted = match start {
                Start::After(n) => n,
                Start::Initial { .. } => 0,
            };
            let status = Status::expired(format!("too old resource version: {wanted} ({oldest})"));
            return one_error(&frames, content_type, &status);
        }
        Err(e) => return Err(page::status_of(&e)),
    };
    let seconds = options
        .timeout_seconds
        .filter(|s| *s > 0)
        .unwrap_or_else(|| MIN_TIMEOUT_SECONDS + call.state.entropy.next_u64() % MIN_TIMEOUT_SECONDS);
    let timer = call.state.timer.clone();
    let body = Events {
        watch,
        frames,
        deadline: timer.sleep(Duration::from_secs(seconds)),
        bookmark: options.allow_bookmarks.then(|| timer.sleep(BOOKMARK_EVERY)),
        timer,
        told: 0,
        done: false,
    };
    let mut response = Response::new(200, content::JSON, Body::Stream(Box::pin(body)));
    response.content_type = content_type.into();
    Ok(response)
}

async fn start(call: &Call<'_>, options: &ListOptions) -> Result<Start, Status> {
    let initial = Start::Initial { mark_end: options.send_initial_events == Some(true) };
    match (options.consistency, options.send_initial_events) {
        (Consistency::NotOlderThan(n) | Consistency::Exact(n), None | Some(false)) => {
            page::wait(call.state, options.consistency).await?;
            Ok(Start::After(n))
        }
        (consistency, Some(true) | None) => {
            page::wait(call.state, consistency).await?;
            Ok(initial)
        }
        (_, Some(false)) => {
            page::wait(call.state, Consistency::Newest).await?;
            Ok(Start::After(call.state.cache.revision()))
        }
    }
}

fn filter(call: &Call<'_>, selection: &Arc<Selection>) -> Filter {
    let predicate: Option<Box<dyn Fn(&watchcache::Entry) -> bool + Send + Sync>> =
        if selection.is_everything() {
            None
        } else {
            let selection = selection.clone();
            Some(Box::new(move |entry| selection.matches(entry)))
        };
    Filter {
        scope: selection.scope(&call.resource, call.namespace),
        field: selection.trigger(&call.resource.triggers),
        predicate,
    }
}

fn one_error(frames: &Frames, content_type: String, status: &Status) -> Result<Response, Status> {
    let mut response = Response::new(200, content::JSON, Body::Chunks(vec![frames.error(status)?]));
    response.content_type = content_type.into();
    Ok(response)
}

struct Events {
    watch: Watch,
    frames: Frames,
    timer: Arc<dyn Timer>,
    deadline: BoxFuture<'static, ()>,
    /// When the next bookmark is due; `None` when the client wants none.
    bookmark: Option<BoxFuture<'static, ()>>,
    /// Revision of the last bookmark.
    told: u64,
    done: bool,
}

impl Events {
    fn item(&mut self, item: Option<Result<WatchItem, Error>>) -> Option<Result<Bytes, Status>> {
        match item {
            Some(Ok(WatchItem::Event(event))) => {
                let frame = self.frames.event(&event);
                Some(frame.or_else(|status| {
                    // Going on would leave the event out.
                    self.done = true;
                    self.frames.error(&status)
                }))
            }
            Some(Ok(WatchItem::InitialEnd { revision })) => {
                self.told = revision;
                Some(self.frames.bookmark(revision, true))
            }
            // A watch that is cut off simply ends; the client starts again where it was.
            Some(Err(_)) | None => {
                self.done = true;
                None
            }
        }
    }
}

impl Stream for Events {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        if this.deadline.as_mut().poll(cx).is_ready() {
            this.done = true;
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.watch).poll_next(cx) {
            Poll::Ready(item) => return Poll::Ready(this.item(item)),
            Poll::Pending => {}
        }
        while let Some(due) = &mut this.bookmark {
            if due.as_mut().poll(cx).is_pending() {
                break;
            }
            this.bookmark = Some(this.timer.sleep(BOOKMARK_EVERY));
            if let Some(revision) = this.watch.progress().filter(|r| *r > this.told) {
                this.told = revision;
                return Poll::Ready(Some(this.frames.bookmark(revision, false)));
            }
        }
        Poll::Pending
    }
}

//! One watch: what is already there, then what was missed, then what happens.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use stdx::cutoff;

use crate::change::{Change, WatchEventType};
use crate::entry::{Entry, object_of};
use crate::error::Error;
use crate::resource::ResourceCache;
use crate::snapshot::Cursor;
use crate::watchers::{Filter, Queued, Slot};

/// Most objects or changes that one poll looks at before it lets others run.
const SCAN_PER_POLL: usize = 512;

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Changes with a revision greater than this one.
    After(u64),
    /// First every present object as ADDED (resource version 0 or unset, or sendInitialEvents=true), then
    /// the changes behind that state.
    Initial {
        /// Whether [`WatchItem::InitialEnd`] comes between the two.
        mark_end: bool,
    },
}

/// One step of a watch.
#[derive(Debug, Clone)]
pub enum WatchItem {
    Event(WatchEvent),
    /// All present objects have been sent; they were the state at this revision.
    InitialEnd {
        revision: u64,
    },
}

/// An event with its object.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    kind: WatchEventType,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Present(Arc<Entry>),
    Change(Arc<Change>),
}

impl WatchEvent {
    /// ADDED, MODIFIED or DELETED, as this watcher's filter sees it.
    pub fn kind(&self) -> WatchEventType {
        self.kind
    }

    /// The revision of the change; of a present object, its own.
    pub fn revision(&self) -> u64 {
        match &self.source {
            Source::Present(entry) => entry.mod_revision(),
            Source::Change(change) => change.revision,
        }
    }

    /// The event as one line of JSON with its line feed. Shared by all watchers of the change.
    pub fn frame(&self) -> Bytes {
        match &self.source {
            Source::Present(entry) => {
                entry.frame(self.kind).unwrap_or_else(|| entry.reframe(self.kind, entry.mod_revision()))
            }
            Source::Change(change) => change.frame(self.kind),
        }
    }

    /// The event in another form, which the caller numbers: made at most once for all watchers of a recent
    /// change. The same number must always give the same bytes.
    pub fn encoded(&self, form: u8, make: impl FnOnce() -> Bytes) -> Bytes {
        match &self.source {
            Source::Present(_) => make(),
            Source::Change(change) => change.encoded(self.kind, form, make),
        }
    }

    /// The event's object; a deleted one carries the revision of its deletion. Shared bytes.
    pub fn object(&self) -> Bytes {
        match (&self.source, self.kind) {
            (Source::Change(change), WatchEventType::Deleted) => {
                object_of(&change.frame(self.kind), self.kind)
            }
            _ => self.entry().object(),
        }
    }

    /// Key, name and facts of the event's object: the last one for DELETED.
    pub fn entry(&self) -> &Arc<Entry> {
        match &self.source {
            Source::Present(entry) => entry,
            Source::Change(change) => change.entry(self.kind),
        }
    }
}

/// A running watch. Ends with `None` when the resource is unregistered; after an error nothing follows.
pub struct Watch {
    resource: Arc<ResourceCache>,
    filter: Arc<Filter>,
    filed: (Slot, u64),
    phase: Phase,
    replay: VecDeque<Arc<Change>>,
    queue: cutoff::Receiver<Queued>,
    /// Everything up to here has been yielded or was not wanted.
    progress: u64,
}

enum Phase {
    Present { cursor: Box<Cursor>, mark_end: bool },
    Changes,
    Ended,
}

/// What `ResourceCache::watch` found under its locks.
pub(crate) struct Begin {
    pub(crate) filed: (Slot, u64),
    pub(crate) present: Option<(Cursor, bool)>,
    pub(crate) replay: VecDeque<Arc<Change>>,
    pub(crate) queue: cutoff::Receiver<Queued>,
    pub(crate) progress: u64,
}

impl Watch {
    pub(crate) fn new(resource: Arc<ResourceCache>, filter: Arc<Filter>, begin: Begin) -> Watch {
        let phase = match begin.present {
            Some((cursor, mark_end)) => Phase::Present { cursor: Box::new(cursor), mark_end },
            None => Phase::Changes,
        };
        let Begin { filed, replay, queue, progress, .. } = begin;
        Watch { resource, filter, filed, phase, replay, queue, progress }
    }

    /// Awaits the next item. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<WatchItem, Error>> {
        std::future::poll_fn(|context| self.poll_item(context)).await
    }

    /// The next item if there is one now, so that a sender can fill its buffer before it flushes.
    pub fn try_next(&mut self) -> Option<Result<WatchItem, Error>> {
        match self.poll_item(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    /// The newest revision up to which everything wanted has been yielded: what a bookmark may say.
    /// `None` while present objects are still being sent.
    pub fn progress(&mut self) -> Option<u64> {
        if matches!(self.phase, Phase::Present { .. }) {
            return None;
        }
        let delivered = self.resource.delivered_revision();
        if self.replay.is_empty() && self.queue.is_empty() {
            self.progress = self.progress.max(delivered);
        }
        Some(self.progress)
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<WatchItem, Error>>> {
        let mut budget = SCAN_PER_POLL;
        if let Phase::Present { cursor, mark_end } = &mut self.phase {
            for entry in cursor.by_ref() {
                if self.filter.matches(&entry) {
                    let event = WatchEvent { kind: WatchEventType::Added, source: Source::Present(entry) };
                    return Poll::Ready(Some(Ok(WatchItem::Event(event))));
                }
                budget -= 1;
                if budget == 0 {
                    return later(context);
                }
            }
            let (revision, mark_end) = (cursor.revision(), *mark_end);
            self.phase = Phase::Changes;
            if mark_end {
                return Poll::Ready(Some(Ok(WatchItem::InitialEnd { revision })));
            }
        }
        while let Some(change) = self.replay.pop_front() {
            self.progress = self.progress.max(change.revision - 1);
            if let Some(kind) = change.kind_for(|entry| self.filter.matches(entry)) {
                return Poll::Ready(Some(Ok(WatchItem::Event(WatchEvent {
                    kind,
                    source: Source::Change(change),
                }))));
            }
            budget -= 1;
            if budget == 0 {
                return later(context);
            }
        }
        self.poll_queue(context)
    }

    fn poll_queue(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<WatchItem, Error>>> {
        if matches!(self.phase, Phase::Ended) {
            return Poll::Ready(None);
        }
        match self.queue.poll_next(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok((change, kind)))) => {
                self.progress = self.progress.max(change.revision - 1);
                Poll::Ready(Some(Ok(WatchItem::Event(WatchEvent { kind, source: Source::Change(change) }))))
            }
            Poll::Ready(Some(Err(cutoff::Overrun))) => {
                self.phase = Phase::Ended;
                Poll::Ready(Some(Err(Error::TooSlow)))
            }
            Poll::Ready(None) => {
                self.phase = Phase::Ended;
                Poll::Ready(None)
            }
        }
    }
}

/// Lets other tasks run and comes back.
fn later<T>(context: &mut Context<'_>) -> Poll<T> {
    context.waker().wake_by_ref();
    Poll::Pending
}

impl Stream for Watch {
    type Item = Result<WatchItem, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(context)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.resource.forget_watcher(&self.filed.0, self.filed.1);
    }
}

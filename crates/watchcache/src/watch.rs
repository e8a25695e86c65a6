//! One watch: what is already there, then what was missed, then what happens. Selectors are matched here, by whoever
//! polls.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use parking_lot::Mutex;
use stdx::cutoff;

use crate::change::{Change, WatchEventType};
use crate::entry::{Entry, object_of};
use crate::error::Error;
use crate::resource::ResourceCache;
use crate::ring::Gone;
use crate::snapshot::Cursor;
use crate::watchers::{Filter, Slot};

/// Most changes, and most bytes of them, that a watch reads from the ring at a time: what it holds of them when it is
/// not polled again. One that is larger comes alone.
const BATCH: usize = 16;
const BATCH_BYTES: usize = 64 << 10;
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
    ///
    /// # Errors
    /// What `make` fails with; that is not kept.
    pub fn encoded<E>(&self, form: u8, make: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
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
///
/// It holds no changes but the few that it read last: its place in the ring, or numbers of changes in it. Whoever
/// does not read while the ring moves on is told [`Error::TooSlow`].
pub struct Watch {
    resource: Arc<ResourceCache>,
    filter: Filter,
    filed: (Slot, u64),
    phase: Phase,
    /// Whom to wake, when the whole ring is read.
    waker: Arc<Mutex<Option<Waker>>>,
    /// The number of the next change to be read from the ring.
    next: u64,
    /// From here on the queue says which numbers to read.
    until: Option<u64>,
    queue: Option<cutoff::Receiver<u64>>,
    /// The queue was too short.
    overrun: bool,
    /// What came out of the queue and is to be read.
    numbers: VecDeque<u64>,
    /// Read and not yet looked at.
    batch: VecDeque<Arc<Change>>,
    /// Changes up to this revision are not wanted.
    after: u64,
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
    pub(crate) next: u64,
    pub(crate) until: Option<u64>,
    pub(crate) after: u64,
    pub(crate) present: Option<(Cursor, bool)>,
    pub(crate) queue: Option<cutoff::Receiver<u64>>,
    pub(crate) progress: u64,
}

/// What a watch finds when its batch is empty.
enum Refill {
    Some,
    /// Nothing now; whoever polls will be woken.
    Nothing,
    TooSlow,
    Ended,
}

impl Watch {
    pub(crate) fn new(
        resource: Arc<ResourceCache>,
        filter: Filter,
        filed: (Slot, u64),
        waker: Arc<Mutex<Option<Waker>>>,
        begin: Begin,
    ) -> Watch {
        let phase = match begin.present {
            Some((cursor, mark_end)) => Phase::Present { cursor: Box::new(cursor), mark_end },
            None => Phase::Changes,
        };
        let Begin { next, until, after, queue, progress, .. } = begin;
        let (numbers, batch) = (VecDeque::new(), VecDeque::new());
        Watch {
            resource,
            filter,
            filed,
            phase,
            waker,
            next,
            until,
            queue,
            overrun: false,
            numbers,
            batch,
            after,
            progress,
        }
    }

    /// Awaits the next item. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<WatchItem, Error>> {
        std::future::poll_fn(|context| self.poll_item(context)).await
    }

    /// The next item if there is one now, so that a sender can fill its buffer before it flushes.
    pub fn try_next(&mut self) -> Option<Result<WatchItem, Error>> {
        match self.poll_item(&mut Context::from_waker(Waker::noop())) {
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
        // What counts is read first: everything up to it is then where this watch looks.
        let (told, all_read) = match (&self.queue, self.until) {
            (Some(queue), Some(until)) => {
                let delivered = self.resource.delivered_revision();
                (delivered, self.next >= until && self.numbers.is_empty() && queue.is_empty())
            }
            _ => {
                let applied = self.resource.applied_revision();
                (applied, self.next == self.resource.ring_end())
            }
        };
        if all_read && self.batch.is_empty() {
            self.progress = self.progress.max(told);
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
        if matches!(self.phase, Phase::Ended) {
            return Poll::Ready(None);
        }
        loop {
            while let Some(change) = self.batch.pop_front() {
                if change.revision <= self.after {
                    continue;
                }
                self.progress = self.progress.max(change.revision - 1);
                if let Some(kind) = change.kind_for(|entry| self.filter.matches(entry)) {
                    let event = WatchEvent { kind, source: Source::Change(change) };
                    return Poll::Ready(Some(Ok(WatchItem::Event(event))));
                }
                budget -= 1;
                if budget == 0 {
                    return later(context);
                }
            }
            let end = match self.refill(context) {
                Refill::Some => continue,
                Refill::Nothing => return Poll::Pending,
                Refill::TooSlow => Some(Err(Error::TooSlow)),
                Refill::Ended => None,
            };
            self.phase = Phase::Ended;
            return Poll::Ready(end);
        }
    }

    fn refill(&mut self, context: &mut Context<'_>) -> Refill {
        if self.until.is_none_or(|until| self.next < until) {
            let numbers = self.next..self.until.unwrap_or(u64::MAX);
            match self.read(numbers) {
                Err(Gone) => return Refill::TooSlow,
                Ok(0) => {}
                Ok(count) => {
                    self.next += count as u64;
                    return Refill::Some;
                }
            }
        }
        if self.queue.is_some() { self.refill_from_queue(context) } else { self.wait(context) }
    }

    /// Behind the whole ring: asks to be woken.
    fn wait(&mut self, context: &mut Context<'_>) -> Refill {
        let mut waker = self.waker.lock();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        drop(waker);
        // What came before the waker was there woke nobody.
        if self.resource.ring_end() != self.next {
            return match self.read(self.next..u64::MAX) {
                Err(Gone) => Refill::TooSlow,
                Ok(count) => {
                    self.next += count as u64;
                    Refill::Some
                }
            };
        }
        if self.resource.is_unregistered() { Refill::Ended } else { Refill::Nothing }
    }

    fn refill_from_queue(&mut self, context: &mut Context<'_>) -> Refill {
        let Some(queue) = &mut self.queue else { return Refill::Ended };
        let mut end = Refill::Nothing;
        while self.numbers.len() < BATCH {
            match queue.poll_next(context) {
                Poll::Ready(Some(Ok(number))) => self.numbers.push_back(number),
                Poll::Ready(Some(Err(cutoff::Overrun))) => {
                    end = Refill::TooSlow;
                    break;
                }
                Poll::Ready(None) => {
                    end = Refill::Ended;
                    break;
                }
                Poll::Pending => break,
            }
        }
        if self.numbers.is_empty() {
            return if self.overrun { Refill::TooSlow } else { end };
        }
        // What fitted still comes first; the queue says it once.
        self.overrun |= matches!(end, Refill::TooSlow);
        let numbers = std::mem::take(&mut self.numbers);
        let read = self.read(numbers.iter().copied());
        self.numbers = numbers;
        match read {
            Err(Gone) => Refill::TooSlow,
            Ok(count) => {
                self.numbers.drain(..count);
                Refill::Some
            }
        }
    }

    fn read(&mut self, numbers: impl Iterator<Item = u64>) -> Result<usize, Gone> {
        self.resource.read(numbers, &mut self.batch, BATCH, BATCH_BYTES)
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

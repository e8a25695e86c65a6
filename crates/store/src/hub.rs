//! Who is told about changes, and the bounded history of them. Shared by the embedded stores. The writer
//! calls `stage` (before it commits), then `publish` or `unstage`, then answers, then `flush`; one writer
//! at a time. The hub never blocks on a reader.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use parking_lot::{Mutex, RwLock};
use stdx::cutoff;

use crate::overlay::Overlay;
use crate::{Batch, Entry, Error, Event, EventSink, Events, WatchStream};

/// Most batches queued for one stream watcher before it is cut off.
const LIMIT_WATCHER_BATCHES: usize = 256;
/// What an event costs in the history besides its key and values, in bytes.
const EVENT_OVERHEAD_BYTES: usize = 160;

/// How much history a store keeps in memory for `watch` from the past and `list` at a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    pub events: usize,
    pub bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> HistoryLimits {
        HistoryLimits { events: 1024, bytes: 4 << 20 }
    }
}

pub(crate) struct Hub {
    state: Mutex<State>,
    sinks: RwLock<Vec<Weak<dyn EventSink>>>,
    revision: AtomicU64,
    limits: HistoryLimits,
    /// What the first sink that panicked said.
    failure: OnceLock<String>,
}

struct State {
    /// Whole transactions in order, the staged ones behind `revision` included.
    history: VecDeque<Event>,
    history_bytes: usize,
    /// Events up to and including this revision are forgotten.
    compacted: u64,
    watchers: Vec<Watcher>,
    wakers: Vec<Waker>,
}

struct Watcher {
    prefix: String,
    from_revision: u64,
    queue: cutoff::Sender<Batch>,
}

impl Hub {
    /// A hub without history at `revision`.
    pub(crate) fn new(revision: u64, limits: HistoryLimits) -> Hub {
        let state = State {
            history: VecDeque::new(),
            history_bytes: 0,
            compacted: revision,
            watchers: Vec::new(),
            wakers: Vec::new(),
        };
        Hub {
            state: Mutex::new(state),
            sinks: RwLock::new(Vec::new()),
            revision: AtomicU64::new(revision),
            limits,
            failure: OnceLock::new(),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Puts events that are about to be committed into the history, so that a list at an older revision
    /// can undo them from the moment they can be read.
    pub(crate) fn stage(&self, events: &[Event]) {
        let mut state = self.state.lock();
        state.history_bytes += events.iter().map(cost).sum::<usize>();
        state.history.extend(events.iter().cloned());
    }

    /// Takes back what was staged behind `revision`: the commit failed.
    pub(crate) fn unstage(&self, revision: u64) {
        let mut state = self.state.lock();
        while state.history.back().is_some_and(|event| event.revision > revision) {
            if let Some(event) = state.history.pop_back() {
                state.history_bytes -= cost(&event);
            }
        }
    }

    /// Tells sinks and watchers about the staged events, which are now durable.
    pub(crate) fn publish(&self, events: &Events) {
        let Some(last) = events.last() else { return };
        let sinks = self.sinks.read();
        let mut dead = false;
        for sink in sinks.iter() {
            match sink.upgrade() {
                Some(sink) => self.guarded(|| sink.apply(events)),
                None => dead = true,
            }
        }
        let mut state = self.state.lock();
        self.revision.store(last.revision, Ordering::Release);
        state.tell_watchers(events, last.revision);
        state.trim(self.limits);
        drop(state);
        drop(sinks);
        if dead {
            self.sinks.write().retain(|sink| sink.strong_count() > 0);
        }
    }

    /// Wakes watchers and lets sinks finish, after the writers were answered.
    pub(crate) fn flush(&self) {
        let wakers = std::mem::take(&mut self.state.lock().wakers);
        wakers.into_iter().for_each(Waker::wake);
        for sink in self.sinks.read().iter().filter_map(Weak::upgrade) {
            self.guarded(|| sink.flush());
        }
    }

    /// Whether all sinks have done their part so far. After one has not, no more writes are made: what it feeds
    /// does not show them.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.failure.get() {
            None => Ok(()),
            Some(reason) => Err(Error::SinkFailed { reason: reason.clone() }),
        }
    }

    /// Calls a sink. One that panics must not take the writer or the sinks behind it along.
    fn guarded(&self, call: impl FnOnce()) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else { return };
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(panic = %text, "a sink of the store panicked: writes end until the process is started again");
        let _ = self.failure.set(text);
    }

    pub(crate) fn subscribe(&self, sink: &Arc<dyn EventSink>) -> u64 {
        let mut sinks = self.sinks.write();
        sinks.push(Arc::downgrade(sink));
        self.revision()
    }

    pub(crate) fn watch(&self, prefix: &str, from_revision: u64) -> Result<WatchStream, Error> {
        let mut state = self.state.lock();
        if from_revision <= state.compacted {
            return Err(Error::Compacted { oldest: state.compacted + 1 });
        }
        let revision = self.revision();
        let past = state.history.range(state.first_from(from_revision)..);
        let past = past.take_while(|event| event.revision <= revision);
        let events: Vec<Event> = past.filter(|event| event.key.starts_with(prefix)).cloned().collect();
        let (queue, receiver) = cutoff::channel(LIMIT_WATCHER_BATCHES);
        if !events.is_empty() {
            // The queue is new and nobody waits on it yet: there is room and no waker.
            let _ = queue.push(Batch { events, revision });
        }
        state.watchers.retain(|watcher| !watcher.queue.is_gone());
        state.watchers.push(Watcher { prefix: prefix.to_owned(), from_revision, queue });
        Ok(Box::pin(HubStream { receiver }))
    }

    /// What has to be laid over the state at revision `current` (or later) to get the one at `revision`.
    pub(crate) fn overlay(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        revision: u64,
        current: u64,
    ) -> Result<Overlay, Error> {
        if revision > current {
            return Err(Error::FutureRevision { requested: revision, current });
        }
        let state = self.state.lock();
        if revision < state.compacted {
            return Err(Error::Compacted { oldest: state.compacted });
        }
        let mut overlay = Overlay::new();
        for event in state.history.range(state.first_from(revision + 1)..) {
            let key: &str = &event.key;
            let inside = key.starts_with(prefix) && start_after.is_none_or(|after| key > after);
            if inside && !overlay.contains_key(key) {
                overlay.insert(event.key.clone(), before(event));
            }
        }
        Ok(overlay)
    }

    pub(crate) fn compact(&self, revision: u64) -> Result<(), Error> {
        let mut state = self.state.lock();
        let current = self.revision();
        if revision > current {
            return Err(Error::FutureRevision { requested: revision, current });
        }
        while state.history.front().is_some_and(|event| event.revision <= revision) {
            state.forget_first();
        }
        state.compacted = state.compacted.max(revision);
        Ok(())
    }

    /// Ends all watch streams.
    pub(crate) fn close(&self) {
        let watchers = std::mem::take(&mut self.state.lock().watchers);
        drop(watchers);
    }
}

impl State {
    /// Index of the first event with at least this revision.
    fn first_from(&self, revision: u64) -> usize {
        self.history.partition_point(|event| event.revision < revision)
    }

    fn forget_first(&mut self) {
        if let Some(event) = self.history.pop_front() {
            self.history_bytes -= cost(&event);
            self.compacted = self.compacted.max(event.revision);
        }
    }

    /// Keeps the history within its limits, whole transactions at a time.
    fn trim(&mut self, limits: HistoryLimits) {
        while self.history.len() > limits.events || self.history_bytes > limits.bytes {
            self.forget_first();
        }
        while self.history.front().is_some_and(|event| event.revision <= self.compacted) {
            self.forget_first();
        }
    }

    fn tell_watchers(&mut self, events: &Events, revision: u64) {
        let wakers = &mut self.wakers;
        self.watchers.retain(|watcher| {
            let wanted = |event: &&Event| {
                event.revision >= watcher.from_revision && event.key.starts_with(watcher.prefix.as_str())
            };
            let events: Vec<Event> = events.iter().filter(wanted).cloned().collect();
            if events.is_empty() {
                return true;
            }
            match watcher.queue.push(Batch { events, revision }) {
                Ok(waker) => {
                    wakers.extend(waker);
                    true
                }
                Err(cutoff::Gone) => false,
            }
        });
    }
}

fn cost(event: &Event) -> usize {
    let prev = event.prev.as_ref().map_or(0, |prev| prev.value.len());
    EVENT_OVERHEAD_BYTES + event.key.len() + event.value.len() + prev
}

fn before(event: &Event) -> Option<Entry> {
    event.prev.as_ref().map(|prev| Entry {
        key: event.key.clone(),
        value: prev.value.clone(),
        create_revision: prev.create_revision,
        mod_revision: prev.mod_revision,
    })
}

struct HubStream {
    receiver: cutoff::Receiver<Batch>,
}

impl Stream for HubStream {
    type Item = Result<Batch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.receiver.poll_next(context);
        item.map(|item| item.map(|item| item.map_err(|cutoff::Overrun| Error::WatcherTooSlow)))
    }
}

//! The cache of one resource: its objects, its ring, its watchers. The store's writer applies changes
//! (`apply`, then `flush`); everyone else reads. No lock is held while anything is streamed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use imbl::OrdSet;
use parking_lot::{Mutex, RwLock};
use stdx::cutoff;
use store::{Event, EventKind};

use crate::cache::{Limits, Progress, ResourceSpec};
use crate::change::{Change, WatchEventType};
use crate::entry::{Entry, Keyed};
use crate::error::Error;
use crate::ring::Ring;
use crate::snapshot::{RevisionMatch, Snapshot};
use crate::watch::{Begin, Start, Watch};
use crate::watchers::{Filter, Slot, Watchers};

/// The cache of the objects under one key prefix.
pub struct ResourceCache {
    spec: ResourceSpec,
    limits: Limits,
    progress: Arc<Progress>,
    state: RwLock<State>,
    /// Applied but not yet told to the watchers.
    pending: Mutex<Vec<Arc<Change>>>,
    /// Locked before `state` where both are needed.
    watchers: Mutex<Watchers>,
}

struct State {
    objects: OrdSet<Keyed>,
    ring: Ring,
    /// Revision of the last change in `objects`.
    last: u64,
    /// While the resource is being filled from the store: the changes since that began.
    filling: Option<Vec<Event>>,
    unregistered: bool,
}

impl ResourceCache {
    pub(crate) fn new(spec: ResourceSpec, limits: Limits, progress: Arc<Progress>) -> ResourceCache {
        let state = State {
            objects: OrdSet::new(),
            ring: Ring::new(0, limits.ring_changes, limits.ring_bytes),
            last: 0,
            filling: Some(Vec::new()),
            unregistered: false,
        };
        let watchers = Watchers::new(spec.triggers.clone(), limits.watchers);
        ResourceCache {
            spec,
            limits,
            progress,
            state: RwLock::new(state),
            pending: Mutex::new(Vec::new()),
            watchers: Mutex::new(watchers),
        }
    }

    /// The resource's key prefix.
    pub fn prefix(&self) -> &str {
        &self.spec.prefix
    }

    /// The newest state of one object, by its whole key.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.state.read().objects.get(key).map(|keyed| keyed.0.clone())
    }

    /// Number of objects now.
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of running watches.
    pub fn watcher_count(&self) -> usize {
        self.watchers.lock().len()
    }

    /// The resource as it was at some revision. Fails with [`Error::TooLarge`] for a revision that has
    /// not been reached and [`Error::Expired`] for an exact one that is older than the ring.
    pub fn list(&self, matching: RevisionMatch) -> Result<Snapshot, Error> {
        let snapshot = self.snapshot();
        let current = snapshot.revision;
        match matching {
            RevisionMatch::Any => Ok(snapshot),
            RevisionMatch::NotOlderThan(requested) | RevisionMatch::Exact(requested)
                if requested > current =>
            {
                Err(Error::TooLarge { requested, current })
            }
            RevisionMatch::NotOlderThan(_) => Ok(snapshot),
            RevisionMatch::Exact(revision) => self.snapshot_at(revision),
        }
    }

    /// Starts a watch. Fails with [`Error::Expired`] when the ring does not reach back to the start and
    /// with [`Error::TooManyWatchers`]. A start in the future skips everything before it.
    pub fn watch(self: &Arc<Self>, start: Start, filter: Filter) -> Result<Watch, Error> {
        let filter = Arc::new(filter);
        let mut watchers = self.watchers.lock();
        let state = self.state.read();
        if state.unregistered {
            return Err(Error::Unregistered);
        }
        let mut replay = VecDeque::new();
        let mut after = state.last;
        let mut present = None;
        match start {
            Start::After(revision) => {
                let oldest = state.ring.start();
                if revision < oldest {
                    return Err(Error::Expired { oldest });
                }
                replay.extend(state.ring.after(revision).cloned());
                after = after.max(revision);
            }
            Start::Initial { mark_end } => {
                let prefix = match &filter.scope {
                    crate::Scope::All | crate::Scope::Name(_) => self.spec.prefix.clone(),
                    crate::Scope::Namespace(namespace) => format!("{}{namespace}/", self.spec.prefix),
                    crate::Scope::Key(key) => key.clone(),
                };
                let revision = self.progress.applied().max(state.last);
                let snapshot = Snapshot { objects: state.objects.clone(), revision };
                present = Some((snapshot.cursor(prefix, None), mark_end));
            }
        }
        let (sender, queue) = cutoff::channel(self.limits.watcher_queue);
        let filed = watchers.add(filter.clone(), after, sender)?;
        drop(state);
        drop(watchers);
        let progress = match start {
            Start::After(revision) => revision,
            Start::Initial { .. } => present.as_ref().map_or(0, |(cursor, _)| cursor.revision()),
        };
        Ok(Watch::new(self.clone(), filter, Begin { filed, present, replay, queue, progress }))
    }

    /// Whether all objects that the store had are here.
    pub(crate) fn is_filled(&self) -> bool {
        self.state.read().filling.is_none()
    }

    /// The revision up to which every change is in the watchers' queues.
    pub(crate) fn delivered_revision(&self) -> u64 {
        self.progress.delivered()
    }

    pub(crate) fn forget_watcher(&self, slot: &Slot, id: u64) {
        self.watchers.lock().remove(slot, id);
    }

    /// Takes a run of changes of this resource, whole transactions of it at a time.
    pub(crate) fn apply(&self, events: &[Event]) {
        {
            let mut state = self.state.write();
            if let Some(waiting) = &mut state.filling {
                waiting.extend_from_slice(events);
                return;
            }
        }
        let entries: Vec<_> = events.iter().map(|event| (event, self.entry_of(event))).collect();
        let mut pending = self.pending.lock();
        let mut state = self.state.write();
        for (event, entry) in entries {
            let old = state.put(&event.key, entry.clone());
            state.last = event.revision;
            if old.is_some() || entry.is_some() {
                let change = Arc::new(Change::new(event.revision, old, entry));
                state.ring.push(change.clone());
                pending.push(change);
            }
        }
    }

    /// Tells the watchers what was applied since the last call. The caller wakes.
    pub(crate) fn flush(&self) -> Vec<Waker> {
        let changes = std::mem::take(&mut *self.pending.lock());
        self.watchers.lock().tell(&changes)
    }

    /// Adds an object that was read from the store while filling.
    pub(crate) fn fill(&self, entries: Vec<store::Entry>) {
        let entries: Vec<_> = entries
            .into_iter()
            .map(|entry| self.entry(entry.key, &entry.value, entry.mod_revision, WatchEventType::Added))
            .collect();
        let mut state = self.state.write();
        for entry in entries {
            state.objects.insert(Keyed(Arc::new(entry)));
        }
    }

    /// Ends filling: replays what happened meanwhile (each page was read at a revision of its own, and
    /// replaying all changes in order ends in the right state) and opens the ring behind it.
    pub(crate) fn filled(&self, revision: u64) {
        let mut state = self.state.write();
        let waiting = state.filling.take().unwrap_or_default();
        let mut last = revision;
        for event in &waiting {
            let entry = self.entry_of(event);
            state.put(&event.key, entry);
            last = last.max(event.revision);
        }
        state.last = last;
        state.ring = Ring::new(last, self.limits.ring_changes, self.limits.ring_bytes);
    }

    /// Ends all watches and refuses new ones.
    pub(crate) fn unregister(&self) {
        self.state.write().unregistered = true;
        let ended = self.watchers.lock().clear();
        drop(ended);
    }

    /// The newest state. The progress is read first: the objects hold every change up to it, and what
    /// they hold beyond it is accounted for by `last`.
    fn snapshot(&self) -> Snapshot {
        let applied = self.progress.applied();
        let state = self.state.read();
        Snapshot { objects: state.objects.clone(), revision: applied.max(state.last) }
    }

    /// The state at an older revision: the newest one with the later changes undone.
    fn snapshot_at(&self, revision: u64) -> Result<Snapshot, Error> {
        let (mut objects, undo): (_, Vec<_>) = {
            let state = self.state.read();
            let oldest = state.ring.start();
            if revision < oldest {
                return Err(Error::Expired { oldest });
            }
            (state.objects.clone(), state.ring.after(revision).rev().cloned().collect())
        };
        for change in undo {
            match (&change.old, &change.new) {
                (Some(old), _) => {
                    objects.insert(Keyed(old.clone()));
                }
                (None, Some(new)) => {
                    objects.remove::<str>(new.key());
                }
                (None, None) => {}
            }
        }
        Ok(Snapshot { objects, revision })
    }

    fn entry_of(&self, event: &Event) -> Option<Arc<Entry>> {
        if event.kind == EventKind::Delete {
            return None;
        }
        let kind = if event.prev.is_some() { WatchEventType::Modified } else { WatchEventType::Added };
        Some(Arc::new(self.entry(event.key.clone(), &event.value, event.revision, kind)))
    }

    fn entry(&self, key: store::Key, value: &[u8], revision: u64, kind: WatchEventType) -> Entry {
        let facts = (self.spec.extract)(value);
        let prefix_length = self.spec.prefix.len() as u16;
        Entry::new(key, prefix_length, value, revision, kind, facts)
    }
}

impl State {
    /// Replaces or removes an object; returns the one before.
    fn put(&mut self, key: &str, entry: Option<Arc<Entry>>) -> Option<Arc<Entry>> {
        match entry {
            Some(entry) => self.objects.insert(Keyed(entry)),
            None => self.objects.remove(key),
        }
        .map(|keyed| keyed.0)
    }
}

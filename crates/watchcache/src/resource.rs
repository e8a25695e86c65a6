//! The cache of one resource: its objects, its ring, its watchers. The store's writer applies changes
//! (`apply`, then `flush`); everyone else reads. No lock is held while anything is streamed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use imbl::OrdSet;
use parking_lot::{Mutex, RwLock};
use stdx::cutoff;
use store::{Event, EventKind};

use crate::cache::{Limits, Progress, ResourceSpec};
use crate::change::{Change, WatchEventType};
use crate::entry::{Entry, Keyed};
use crate::error::Error;
use crate::ring::{Gone, Ring};
use crate::snapshot::{RevisionMatch, Snapshot};
use crate::watch::{Begin, Start, Watch};
use crate::watchers::{Filter, Slot, Tell, Watchers};

/// Snapshots kept for lists in pages.
const LIMIT_KEPT: usize = 512;
/// What a change costs a kept snapshot besides the replaced object: copied nodes of the tree, in bytes.
const TREE_BYTES: usize = 1 << 10;
/// How long a change keeps its other forms when nothing pushes it out.
const FRESH_FORMS: Duration = Duration::from_secs(5);

/// The cache of the objects under one key prefix.
pub struct ResourceCache {
    spec: ResourceSpec,
    limits: Limits,
    progress: Arc<Progress>,
    state: RwLock<State>,
    /// Applied but not yet told to the watchers.
    pending: Mutex<Vec<(u64, Arc<Change>)>>,
    /// Locked before `state` where both are needed.
    watchers: Mutex<Watchers>,
    /// Bytes of history that this resource was last seen to keep.
    history_bytes: AtomicUsize,
}

struct State {
    objects: OrdSet<Keyed>,
    ring: Ring,
    /// Snapshots that a list in pages goes on with, by revision.
    kept: BTreeMap<u64, Kept>,
    /// Bytes of objects that were ever replaced.
    churn_bytes: u64,
    /// Revision of the last change in `objects`.
    last: u64,
    /// While the resource is being filled from the store: the changes since that began.
    filling: Option<Vec<Event>>,
    unregistered: bool,
}

struct Kept {
    objects: OrdSet<Keyed>,
    /// `churn_bytes` then: what came since is what the snapshot may keep alive.
    churn_bytes: u64,
}

impl ResourceCache {
    pub(crate) fn new(spec: ResourceSpec, limits: Limits, progress: Arc<Progress>) -> ResourceCache {
        let state = State {
            objects: OrdSet::new(),
            ring: Ring::new(0, limits.ring_changes),
            kept: BTreeMap::new(),
            churn_bytes: 0,
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
            history_bytes: AtomicUsize::new(0),
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
    /// not been reached and [`Error::Expired`] for an exact one that is too old: older than
    /// [`Limits::snapshot_age`], or older than the ring and not kept by [`ResourceCache::keep`].
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
            RevisionMatch::Exact(revision) => {
                let oldest = self.progress.oldest_exact(self.limits.snapshot_age);
                if revision < oldest { Err(Error::Expired { oldest }) } else { self.snapshot_at(revision) }
            }
        }
    }

    /// Keeps a snapshot for the next page of a list, as long as [`Limits`] allow: then an exact list at its
    /// revision does not depend on the ring.
    pub fn keep(&self, snapshot: &Snapshot) {
        let oldest = self.progress.oldest_exact(self.limits.snapshot_age);
        let mut state = self.state.write();
        let mut dropped = state.expire(oldest);
        if state.kept.len() >= LIMIT_KEPT {
            dropped.extend(state.kept.pop_first().map(|(_, kept)| kept));
        }
        let churn_bytes = state.churn_bytes;
        let kept = || Kept { objects: snapshot.objects.clone(), churn_bytes };
        state.kept.entry(snapshot.revision).or_insert_with(kept);
        drop(state);
        drop(dropped);
    }

    /// Starts a watch. Fails with [`Error::Expired`] when the ring does not reach back to the start and
    /// with [`Error::TooManyWatchers`]. A start in the future skips everything before it.
    pub fn watch(self: &Arc<Self>, start: Start, filter: Filter) -> Result<Watch, Error> {
        let mut watchers = self.watchers.lock();
        let state = self.state.read();
        if state.unregistered {
            return Err(Error::Unregistered);
        }
        let mut begin =
            Begin { next: state.ring.end(), until: None, after: 0, present: None, queue: None, progress: 0 };
        match start {
            Start::After(revision) => {
                let oldest = state.ring.start();
                if revision < oldest {
                    return Err(Error::Expired { oldest });
                }
                begin.next = state.ring.number_after(revision);
                begin.after = revision;
                begin.progress = revision;
            }
            Start::Initial { mark_end } => {
                let prefix = match &filter.scope {
                    crate::Scope::All | crate::Scope::Name(_) => self.spec.prefix.clone(),
                    crate::Scope::Namespace(namespace) => format!("{}{namespace}/", self.spec.prefix),
                    crate::Scope::Key(key) => key.clone(),
                };
                let revision = self.progress.applied().max(state.last);
                let snapshot = Snapshot { objects: state.objects.clone(), revision };
                begin.present = Some((snapshot.cursor(prefix, None), mark_end));
                begin.progress = revision;
            }
        }
        let slot = watchers.slot_of(&filter);
        let waker = Arc::new(Mutex::new(None));
        let tell = if slot == Slot::All {
            Tell::Wake(waker.clone())
        } else {
            let (queue, receiver) = cutoff::channel(self.limits.watcher_queue);
            begin.queue = Some(receiver);
            begin.until = Some(state.ring.end());
            Tell::Numbers { queue, from: state.ring.end() }
        };
        let id = watchers.add(&slot, tell)?;
        drop(state);
        drop(watchers);
        Ok(Watch::new(self.clone(), filter, (slot, id), waker, begin))
    }

    /// Whether all objects that the store had are here.
    pub(crate) fn is_filled(&self) -> bool {
        self.state.read().filling.is_none()
    }

    /// The revision up to which every change is in the watchers' queues.
    pub(crate) fn delivered_revision(&self) -> u64 {
        self.progress.delivered()
    }

    /// The revision up to which every change is in the ring.
    pub(crate) fn applied_revision(&self) -> u64 {
        self.progress.applied()
    }

    /// The number of the next change.
    pub(crate) fn ring_end(&self) -> u64 {
        self.state.read().ring.end()
    }

    pub(crate) fn is_unregistered(&self) -> bool {
        self.state.read().unregistered
    }

    /// Appends the changes with these numbers to `batch`: at most `limit` of them, and of about `limit_bytes`, up to
    /// the first that has not happened. Says how many.
    pub(crate) fn read(
        &self,
        numbers: impl Iterator<Item = u64>,
        batch: &mut VecDeque<Arc<Change>>,
        limit: usize,
        limit_bytes: usize,
    ) -> Result<usize, Gone> {
        let state = self.state.read();
        let (mut count, mut bytes) = (0, 0);
        for number in numbers.take(limit) {
            let Some(change) = state.ring.get(number)? else { break };
            bytes += change.encoded_bytes();
            if count > 0 && bytes > limit_bytes {
                break;
            }
            batch.push_back(change.clone());
            count += 1;
        }
        Ok(count)
    }

    pub(crate) fn forget_watcher(&self, slot: &Slot, id: u64) {
        self.watchers.lock().remove(slot, id);
    }

    /// Takes a run of changes of this resource, whole transactions of it at a time.
    pub(crate) fn apply(&self, events: &[Event], now: Duration) {
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
                let replaced = old.as_ref().map_or(0, |old| old.memory_bytes());
                state.churn_bytes += (replaced + TREE_BYTES) as u64;
                let change = Arc::new(Change::new(event.revision, now, old, entry));
                let number = state.ring.push(change.clone());
                pending.push((number, change));
            }
        }
        state.ring.age(now.saturating_sub(self.limits.fresh), now.saturating_sub(FRESH_FORMS));
        self.account(&state);
    }

    /// Lets go of what is too old.
    pub(crate) fn tidy(&self, now: Duration) {
        let oldest = self.progress.oldest_exact(self.limits.snapshot_age);
        let mut state = self.state.write();
        state.ring.age(now.saturating_sub(self.limits.fresh), now.saturating_sub(FRESH_FORMS));
        let dropped = state.expire(oldest);
        self.account(&state);
        drop(state);
        drop(dropped);
    }

    /// Bytes kept for watches and lists of the past, beyond the objects that are there; as of the last change.
    pub(crate) fn history_bytes(&self) -> usize {
        self.history_bytes.load(Ordering::Relaxed)
    }

    /// Lets go of about that many of these bytes: of whichever keeps more, the ring or the snapshots.
    pub(crate) fn give_back(&self, bytes: usize) {
        let mut state = self.state.write();
        let mut dropped = Vec::new();
        if state.kept_bytes() > state.ring.bytes() {
            let before = state.kept_bytes();
            while state.kept_bytes() == before
                && let Some((_, kept)) = state.kept.pop_first()
            {
                dropped.push(kept);
            }
        } else {
            state.ring.give_back(bytes);
        }
        self.account(&state);
        drop(state);
        drop(dropped);
    }

    fn account(&self, state: &State) {
        self.history_bytes.store(state.ring.bytes() + state.kept_bytes(), Ordering::Relaxed);
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
        state.ring = Ring::new(last, self.limits.ring_changes);
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
            if let Some(kept) = state.kept.get(&revision) {
                return Ok(Snapshot { objects: kept.objects.clone(), revision });
            }
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
    /// What the kept snapshots keep alive at most. The oldest keeps all that the others do.
    fn kept_bytes(&self) -> usize {
        let since = self.kept.first_key_value().map_or(self.churn_bytes, |(_, kept)| kept.churn_bytes);
        usize::try_from(self.churn_bytes - since).unwrap_or(usize::MAX)
    }

    /// Takes out the snapshots from before a revision, to be dropped without the lock.
    fn expire(&mut self, oldest: u64) -> Vec<Kept> {
        let newer = self.kept.split_off(&oldest);
        std::mem::replace(&mut self.kept, newer).into_values().collect()
    }

    /// Replaces or removes an object; returns the one before.
    fn put(&mut self, key: &str, entry: Option<Arc<Entry>>) -> Option<Arc<Entry>> {
        match entry {
            Some(entry) => self.objects.insert(Keyed(entry)),
            None => self.objects.remove(key),
        }
        .map(|keyed| keyed.0)
    }
}

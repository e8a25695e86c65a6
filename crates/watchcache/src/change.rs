//! One change of one object, shared by the ring and all watchers, with its frames made at most once each.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::entry::Entry;

/// The type of a watch event that carries an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatchEventType {
    Added,
    Modified,
    Deleted,
}

impl WatchEventType {
    /// The type as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            WatchEventType::Added => "ADDED",
            WatchEventType::Modified => "MODIFIED",
            WatchEventType::Deleted => "DELETED",
        }
    }

    /// What stands in front of the object in a frame.
    pub(crate) fn frame_head(self) -> &'static [u8] {
        match self {
            WatchEventType::Added => b"{\"type\":\"ADDED\",\"object\":",
            WatchEventType::Modified => b"{\"type\":\"MODIFIED\",\"object\":",
            WatchEventType::Deleted => b"{\"type\":\"DELETED\",\"object\":",
        }
    }
}

/// An object before and after one transaction; at least one of the two is there.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) old: Option<Arc<Entry>>,
    pub(crate) new: Option<Arc<Entry>>,
    /// The frame that is not the new entry's own one (ADDED for an update that starts to match).
    other: OnceLock<Bytes>,
    deleted: OnceLock<Bytes>,
    /// The event in other forms, each made once for all watchers; `None` once the change is not recent any more.
    encoded: Mutex<Option<Vec<Encoded>>>,
}

/// What a form is, is known to the caller only.
#[derive(Debug)]
struct Encoded {
    kind: WatchEventType,
    form: u8,
    frame: Bytes,
}

impl Change {
    pub(crate) fn new(revision: u64, old: Option<Arc<Entry>>, new: Option<Arc<Entry>>) -> Change {
        let (other, deleted) = (OnceLock::new(), OnceLock::new());
        Change { revision, old, new, other, deleted, encoded: Mutex::new(Some(Vec::new())) }
    }

    /// What a watcher with this predicate sees of the change.
    // k8s: staging/src/k8s.io/apiserver/pkg/storage/cacher/cache_watcher.go convertToWatchEvent
    pub(crate) fn kind_for(&self, matches: impl Fn(&Entry) -> bool) -> Option<WatchEventType> {
        let old = self.old.as_deref().is_some_and(&matches);
        let new = self.new.as_deref().is_some_and(&matches);
        match (old, new) {
            (false, false) => None,
            (false, true) => Some(WatchEventType::Added),
            (true, true) => Some(WatchEventType::Modified),
            (true, false) => Some(WatchEventType::Deleted),
        }
    }

    /// The entry whose content an event of this type carries.
    pub(crate) fn entry(&self, kind: WatchEventType) -> &Arc<Entry> {
        let (first, second) = match kind {
            WatchEventType::Deleted => (&self.old, &self.new),
            _ => (&self.new, &self.old),
        };
        first.as_ref().or(second.as_ref()).expect("a change has an old or a new object")
    }

    /// The event as one line of JSON, made at most once for all watchers.
    pub(crate) fn frame(&self, kind: WatchEventType) -> Bytes {
        let entry = self.entry(kind);
        if kind == WatchEventType::Deleted {
            return self.deleted.get_or_init(|| entry.reframe(kind, self.revision)).clone();
        }
        match entry.frame(kind) {
            Some(frame) => frame,
            None => self.other.get_or_init(|| entry.reframe(kind, self.revision)).clone(),
        }
    }

    /// The event in the form of this number, made by the first watcher that wants it.
    pub(crate) fn encoded(&self, kind: WatchEventType, form: u8, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut encoded = self.encoded.lock();
        let Some(all) = encoded.as_mut() else {
            drop(encoded);
            return make();
        };
        if let Some(found) = all.iter().find(|e| e.kind == kind && e.form == form) {
            return found.frame.clone();
        }
        // Others that want the same wait for it: making it again takes longer.
        let frame = make();
        all.push(Encoded { kind, form, frame: frame.clone() });
        frame
    }

    /// Watchers that come as late as this make the other forms themselves.
    pub(crate) fn forget_encoded(&self) {
        *self.encoded.lock() = None;
    }

    /// Roughly the size of the event in another form.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let size = |entry: &Option<Arc<Entry>>| entry.as_ref().map_or(0, |entry| entry.object_bytes().len());
        size(&self.new).max(size(&self.old))
    }

    /// Bytes that the ring alone keeps alive: the replaced object.
    pub(crate) fn retained_bytes(&self) -> usize {
        size_of::<Change>() + self.old.as_ref().map_or(0, |old| old.memory_bytes())
    }
}

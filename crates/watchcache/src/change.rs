//! One change of one object, shared by the ring and all watchers, with its frames made once each while anybody may
//! want them.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

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
    /// When it was applied, on the cache's clock.
    pub(crate) at: Duration,
    pub(crate) old: Option<Arc<Entry>>,
    pub(crate) new: Option<Arc<Entry>>,
    /// The event in forms that are not the new entry's own frame, each made once for all watchers.
    /// The plain ones stand apart: others are made from them.
    encoded: [Mutex<Forms>; 2],
}

#[derive(Debug, Default)]
struct Forms {
    /// Forms are not kept any more: they live as long as somebody sends them.
    old: bool,
    all: Vec<Encoded>,
}

/// What a form is, is known to the caller only; [`PLAIN`] is this crate's own.
#[derive(Debug)]
struct Encoded {
    kind: WatchEventType,
    form: u8,
    frame: Weak<Bytes>,
    kept: Option<Arc<Bytes>>,
}

/// The number of the frame that [`Entry::reframe`] makes.
const PLAIN: u8 = 0;

/// A frame with a count of those who send it.
struct Shared(Arc<Bytes>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Change {
    pub(crate) fn new(
        revision: u64,
        at: Duration,
        old: Option<Arc<Entry>>,
        new: Option<Arc<Entry>>,
    ) -> Change {
        Change { revision, at, old, new, encoded: Default::default() }
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

    /// The event as one line of JSON, shared by all watchers.
    pub(crate) fn frame(&self, kind: WatchEventType) -> Bytes {
        let entry = self.entry(kind);
        let own = if kind == WatchEventType::Deleted { None } else { entry.frame(kind) };
        own.unwrap_or_else(|| {
            let make = || Ok::<_, Infallible>(entry.reframe(kind, self.revision));
            match self.encoded(kind, PLAIN, make) {
                Ok(frame) => frame,
                Err(never) => match never {},
            }
        })
    }

    /// The event in the form of this number, made by the first watcher that wants it. `make` may ask for the plain
    /// frame, and for no other.
    pub(crate) fn encoded<E>(
        &self,
        kind: WatchEventType,
        form: u8,
        make: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let mut forms = self.encoded[usize::from(form != PLAIN)].lock();
        let same = |e: &&Encoded| e.kind == kind && e.form == form;
        if let Some(frame) = forms.all.iter().find(same).and_then(|e| e.frame.upgrade()) {
            return Ok(Bytes::from_owner(Shared(frame)));
        }
        // Others that want the same wait for it: making it again takes longer.
        let frame = Arc::new(make()?);
        let kept = (!forms.old).then(|| frame.clone());
        forms.all.retain(|e| e.frame.strong_count() > 0);
        forms.all.push(Encoded { kind, form, frame: Arc::downgrade(&frame), kept });
        Ok(Bytes::from_owner(Shared(frame)))
    }

    /// From now on the other forms live only as long as somebody sends them.
    pub(crate) fn forget_encoded(&self) {
        for forms in &self.encoded {
            let mut forms = forms.lock();
            forms.old = true;
            forms.all.iter_mut().for_each(|e| e.kept = None);
            forms.all.retain(|e| e.frame.strong_count() > 0);
        }
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

//! One resource at one revision. Cheap to make (it shares the tree), holds no lock, never changes.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;

use crate::entry::{Entry, Keyed};

/// How a list's resource version is to be understood.
// k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/types.go ResourceVersionMatch
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionMatch {
    /// Whatever the cache has: resource version 0, and, behind [`crate::WatchCache::wait_current`], a
    /// consistent read (resource version unset).
    Any,
    /// At least this revision; the caller waits with [`crate::WatchCache::wait_until`] first.
    NotOlderThan(u64),
    /// Exactly this revision: resourceVersionMatch=Exact and continue tokens.
    Exact(u64),
}

/// The objects of a resource at one revision, in key order.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) objects: OrdSet<Keyed>,
    pub(crate) revision: u64,
}

impl Snapshot {
    /// The revision of this state: what goes into the list's metadata.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Number of objects of the whole resource.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The object with this key.
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.objects.get(key).map(|keyed| &keyed.0)
    }

    /// Objects whose keys begin with `prefix` (the resource's prefix, or that and `namespace/`) and lie
    /// behind `start_after`.
    pub fn iter<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        let from = match start_after {
            Some(key) if key >= prefix => Bound::Excluded(key),
            _ => Bound::Included(prefix),
        };
        let range = self.objects.range::<_, str>((from, Bound::Unbounded));
        range.map(|keyed| &keyed.0).take_while(move |entry| entry.key().starts_with(prefix))
    }

    /// Number of objects that [`Snapshot::iter`] would yield; walks the tree, not the objects' bytes.
    pub fn count(&self, prefix: &str, start_after: Option<&str>) -> usize {
        self.iter(prefix, start_after).count()
    }

    /// As [`Snapshot::iter`], but owned, for a body that is streamed.
    pub fn cursor(self, prefix: impl Into<String>, start_after: Option<String>) -> Cursor {
        Cursor { snapshot: self, prefix: prefix.into(), start_after, ahead: VecDeque::new(), done: false }
    }
}

/// An owned iterator over a snapshot. Keeps a few entries ahead, so that a step is cheap.
pub struct Cursor {
    snapshot: Snapshot,
    prefix: String,
    start_after: Option<String>,
    ahead: VecDeque<Arc<Entry>>,
    done: bool,
}

const AHEAD: usize = 128;

impl Cursor {
    /// The revision of the snapshot.
    pub fn revision(&self) -> u64 {
        self.snapshot.revision
    }

    /// Number of objects that are still to come; walks the tree.
    pub fn remaining(&self) -> usize {
        if self.done {
            return self.ahead.len();
        }
        self.ahead.len() + self.snapshot.count(&self.prefix, self.start_after.as_deref())
    }

    fn refill(&mut self) {
        let entries = self.snapshot.iter(&self.prefix, self.start_after.as_deref()).take(AHEAD);
        self.ahead.extend(entries.cloned());
        self.done = self.ahead.len() < AHEAD;
        if let Some(last) = self.ahead.back() {
            self.start_after = Some(last.key().to_string());
        }
    }
}

impl Iterator for Cursor {
    type Item = Arc<Entry>;

    fn next(&mut self) -> Option<Arc<Entry>> {
        if self.ahead.is_empty() && !self.done {
            self.refill();
        }
        self.ahead.pop_front()
    }
}

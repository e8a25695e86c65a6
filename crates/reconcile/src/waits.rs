//! The revision gate: what a key waits for before it is decided again.
//!
//! After a create, update or patch that is the answer's revision; after a delete, that the cache no longer
//! shows the object alive; after an ambiguous error, the revision read from the server since.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meta::Gvr;

use crate::{Caches, Key};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The caches have seen this revision of the resource.
    Seen { gvr: Gvr, revision: u64 },
    /// The caches show this object deleted, replaced or being deleted.
    Gone { gvr: Gvr, key: Key, uid: Arc<str> },
    /// The server must be asked which revision to wait for.
    Ask { gvr: Gvr },
}

impl Wait {
    /// Adds a wait; of several revisions of one resource only the newest counts.
    pub(crate) fn add(waits: &mut Vec<Wait>, new: Wait) {
        if let Wait::Seen { gvr, revision } = &new {
            for w in waits.iter_mut() {
                if let Wait::Seen { gvr: g, revision: r } = w
                    && g == gvr
                {
                    *r = (*r).max(*revision);
                    return;
                }
            }
        }
        if !waits.contains(&new) {
            waits.push(new);
        }
    }
}

/// Which caches count for a controller: those that it reads.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) projections: Vec<TypeId>,
    pub(crate) graph: bool,
}

impl Scope {
    /// The revision that all of the controller's caches of the resource have seen; `None` when it reads none.
    pub(crate) fn seen(&self, caches: &Caches, gvr: &Gvr) -> Option<u64> {
        let kinds = self.projections.iter().filter_map(|p| caches.any(*p));
        let seen = kinds.filter(|c| c.gvr() == *gvr).map(super::AnyCache::seen).min();
        let graph = if self.graph { caches.graph.seen(gvr) } else { None };
        match (seen, graph) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn alive(&self, caches: &Caches, gvr: &Gvr, key: &Key, uid: &str) -> bool {
        let kinds = self.projections.iter().filter_map(|p| caches.any(*p)).filter(|c| c.gvr() == *gvr);
        let cached = kinds
            .filter_map(|c| c.meta_of(&key.namespace, &key.name))
            .any(|m| *m.uid == *uid && m.deletion_timestamp.is_none());
        let node = if self.graph { caches.graph.get(uid) } else { None };
        cached || node.is_some_and(|n| !n.deleting)
    }

    /// Whether the wait is over. An `Ask` never is by itself.
    pub(crate) fn over(&self, wait: &Wait, caches: &Caches) -> bool {
        match wait {
            Wait::Seen { gvr, revision } => self.seen(caches, gvr).is_none_or(|s| s >= *revision),
            Wait::Gone { gvr, key, uid } => !self.alive(caches, gvr, key, uid),
            Wait::Ask { .. } => false,
        }
    }
}

/// Keys that are held, by what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    seen: BTreeMap<Gvr, BTreeMap<u64, BTreeSet<Key>>>,
    gone: BTreeMap<(Gvr, Key), BTreeSet<Key>>,
    count: usize,
}

impl Parked {
    pub(crate) fn park(&mut self, key: Key, wait: &Wait) {
        let new = match wait {
            Wait::Seen { gvr, revision } => {
                self.seen.entry(gvr.clone()).or_default().entry(*revision).or_default().insert(key)
            }
            Wait::Gone { gvr, key: object, .. } => {
                self.gone.entry((gvr.clone(), object.clone())).or_default().insert(key)
            }
            Wait::Ask { .. } => false,
        };
        self.count += usize::from(new);
    }

    /// The keys that a change of `object` (empty name: of nothing) up to `seen` may release.
    pub(crate) fn release(&mut self, gvr: &Gvr, object: &Key, seen: Option<u64>) -> Vec<Key> {
        if self.count == 0 {
            return Vec::new();
        }
        let mut out = Vec::new();
        if let Some(by_revision) = self.seen.get_mut(gvr) {
            let later = by_revision.split_off(&seen.unwrap_or(u64::MAX).saturating_add(1));
            out.extend(std::mem::replace(by_revision, later).into_values().flatten());
        }
        if !object.name.is_empty() {
            out.extend(self.gone.remove(&(gvr.clone(), object.clone())).unwrap_or_default());
        }
        self.count -= out.len();
        out
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

//! The objects of one kind, as one projection, with their indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{IndexSink, Key, Projection};

/// What one event changed. `new` is absent for a deletion, `old` for an addition.
#[derive(Debug)]
pub struct Delta<P> {
    pub old: Option<Arc<P>>,
    pub new: Option<Arc<P>>,
}

impl<P> Clone for Delta<P> {
    fn clone(&self) -> Self {
        Delta { old: self.old.clone(), new: self.new.clone() }
    }
}

impl<P> Delta<P> {
    /// The newest state there is: `new`, or what was deleted.
    #[must_use]
    pub fn latest(&self) -> Option<&Arc<P>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// Old and new, those that exist.
    pub fn both(&self) -> impl Iterator<Item = &Arc<P>> {
        self.old.iter().chain(&self.new)
    }
}

type Index = BTreeMap<Arc<str>, BTreeSet<Key>>;

/// Objects of one kind by namespace and name. Iteration is in the order of namespace and name.
#[derive(Debug)]
pub struct KindCache<P> {
    objects: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<P>>>,
    indexes: BTreeMap<&'static str, Index>,
    seen: u64,
    synced: bool,
    count: usize,
    /// Objects handed out: what a decision costs.
    #[cfg(debug_assertions)]
    looked_at: std::sync::atomic::AtomicUsize,
}

impl<P> Default for KindCache<P> {
    fn default() -> Self {
        KindCache {
            objects: BTreeMap::new(),
            indexes: BTreeMap::new(),
            seen: 0,
            synced: false,
            count: 0,
            #[cfg(debug_assertions)]
            looked_at: std::sync::atomic::AtomicUsize::new(0),
        }
    }
}

impl<P: Projection> KindCache<P> {
    /// One object. The namespace of a cluster-scoped one is empty.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<P>> {
        self.objects.get(namespace)?.get(name).inspect(|o| self.note(o))
    }

    /// Notes that an object was handed out.
    fn note(&self, _: &Arc<P>) {
        #[cfg(debug_assertions)]
        self.looked_at.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// How many objects have been handed out so far, one by one or in iterations. Only where debug assertions are
    /// on: for tests that say how much a decision may look at, which are there only then too.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn looked_at(&self) -> usize {
        self.looked_at.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// One object by key.
    #[must_use]
    pub fn by_key(&self, key: &Key) -> Option<&Arc<P>> {
        self.get(&key.namespace, &key.name)
    }

    /// All objects of a namespace.
    pub fn list(&self, namespace: &str) -> impl Iterator<Item = &Arc<P>> {
        self.objects.get(namespace).into_iter().flat_map(BTreeMap::values).inspect(|o| self.note(o))
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<P>> {
        self.objects.values().flat_map(BTreeMap::values).inspect(|o| self.note(o))
    }

    /// The objects that put themselves under `value` in the index `name`.
    pub fn by_index(&self, name: &str, value: &str) -> impl Iterator<Item = &Arc<P>> {
        let keys = self.indexes.get(name).and_then(|i| i.get(value));
        keys.into_iter().flatten().filter_map(|k| self.by_key(k))
    }

    /// How many objects put themselves under `value` in the index `name`.
    #[must_use]
    pub fn count_by_index(&self, name: &str, value: &str) -> usize {
        self.indexes.get(name).and_then(|i| i.get(value)).map_or(0, BTreeSet::len)
    }

    /// The number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The newest revision that was applied.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether a whole list has been applied.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// Notes that everything up to `revision` has been applied (a bookmark).
    pub fn advance(&mut self, revision: u64) {
        self.seen = self.seen.max(revision);
    }

    /// Puts in or replaces an object.
    pub fn upsert(&mut self, mut object: P) -> Delta<P> {
        object.compact();
        let new = Arc::new(object);
        let m = new.meta();
        let key = m.key();
        self.seen = self.seen.max(m.resource_version);
        let old =
            self.objects.entry(key.namespace.clone()).or_default().insert(key.name.clone(), new.clone());
        if let Some(o) = &old {
            self.unindex(&key, o);
        } else {
            self.count += 1;
        }
        let mut sink = IndexSink::default();
        new.indexes(&mut sink);
        for (name, value) in sink.0 {
            self.indexes.entry(name).or_default().entry(value).or_default().insert(key.clone());
        }
        Delta { old, new: Some(new) }
    }

    /// Takes an object out. `revision`: of the deletion, 0 when unknown.
    pub fn remove(&mut self, key: &Key, revision: u64) -> Delta<P> {
        self.seen = self.seen.max(revision);
        let Some(names) = self.objects.get_mut(&key.namespace) else { return Delta { old: None, new: None } };
        let old = names.remove(&key.name);
        if names.is_empty() {
            self.objects.remove(&key.namespace);
        }
        if let Some(o) = &old {
            self.count -= 1;
            self.unindex(key, o);
        }
        Delta { old, new: None }
    }

    /// Replaces everything by a list of `revision`; what differs is returned.
    pub fn replace(&mut self, objects: Vec<P>, revision: u64) -> Vec<Delta<P>> {
        let mut gone: BTreeSet<Key> = self.iter().map(|o| o.meta().key()).collect();
        let mut out = Vec::new();
        for o in objects {
            gone.remove(&o.meta().key());
            let d = self.upsert(o);
            let same = match (&d.old, &d.new) {
                (Some(o), Some(n)) => {
                    o.meta().uid == n.meta().uid
                        && o.meta().resource_version == n.meta().resource_version
                        && o.meta().resource_version != 0
                }
                _ => false,
            };
            if !same {
                out.push(d);
            }
        }
        for key in gone {
            out.push(self.remove(&key, 0));
        }
        self.synced = true;
        self.advance(revision);
        out
    }

    fn unindex(&mut self, key: &Key, old: &P) {
        let mut sink = IndexSink::default();
        old.indexes(&mut sink);
        for (name, value) in sink.0 {
            let Some(index) = self.indexes.get_mut(name) else { continue };
            let Some(keys) = index.get_mut(&value) else { continue };
            keys.remove(key);
            if keys.is_empty() {
                index.remove(&value);
            }
        }
    }
}

//! A copy of one resource in memory, as small structs, for components that decide from the whole of it.

use std::collections::BTreeMap;

use control::RawEvent;
use serde::de::DeserializeOwned;

/// Objects by namespace and name.
pub struct Mirror<T> {
    objects: BTreeMap<(String, String), T>,
    key: fn(&T) -> (&str, &str),
    synced: bool,
}

impl<T: DeserializeOwned + PartialEq> Mirror<T> {
    /// An empty copy; `key` gives namespace and name.
    #[must_use]
    pub fn new(key: fn(&T) -> (&str, &str)) -> Self {
        Mirror { objects: BTreeMap::new(), key, synced: false }
    }

    /// Whether a first whole list has arrived.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// All objects in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.objects.values()
    }

    fn read(&self, bytes: &[u8]) -> Option<((String, String), T)> {
        match serde_json::from_slice::<T>(bytes) {
            Ok(object) => {
                let (namespace, name) = (self.key)(&object);
                Some(((namespace.to_owned(), name.to_owned()), object))
            }
            Err(e) => {
                tracing::error!("an object cannot be read: {e}");
                None
            }
        }
    }

    /// Takes an event in; whether anything that `T` reads has changed, or the first list has come.
    pub fn take(&mut self, event: RawEvent) -> bool {
        match event {
            RawEvent::Replaced { items, .. } => {
                let new: BTreeMap<_, _> = items.iter().filter_map(|b| self.read(b)).collect();
                let changed = !self.synced || self.objects != new;
                self.synced = true;
                self.objects = new;
                changed
            }
            RawEvent::Applied(b) => {
                let Some((key, object)) = self.read(&b) else { return false };
                if self.objects.get(&key) == Some(&object) {
                    return false;
                }
                self.objects.insert(key, object);
                true
            }
            RawEvent::Deleted(b) => self.read(&b).is_some_and(|(key, _)| self.objects.remove(&key).is_some()),
            RawEvent::Progress(_) => false,
        }
    }
}

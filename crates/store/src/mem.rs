//! The store in memory, for tests and the simulation. Deterministic; every future is ready at once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use parking_lot::{Mutex, RwLock};

use crate::apply::{self, Table};
use crate::hub::{HistoryLimits, Hub};
use crate::overlay::{self, lower_bound};
use crate::{Entry, Error, EventSink, Key, ListOptions, Outcome, Page, Store, Txn, WatchStream};

/// The revision of an empty store.
const FIRST_REVISION: u64 = 1;

/// A store that lives and dies with its process. To "restart" a server on it, keep the `Arc`.
pub struct MemStore {
    /// Held by the writer until its events are delivered.
    writer: Mutex<()>,
    data: RwLock<Data>,
    hub: Hub,
}

struct Data {
    keys: BTreeMap<Key, Stored>,
    revision: u64,
}

struct Stored {
    value: Bytes,
    create_revision: u64,
    mod_revision: u64,
}

impl Default for MemStore {
    fn default() -> MemStore {
        MemStore::new(HistoryLimits::default())
    }
}

impl MemStore {
    /// An empty store that keeps so much history.
    pub fn new(history: HistoryLimits) -> MemStore {
        MemStore {
            writer: Mutex::new(()),
            data: RwLock::new(Data { keys: BTreeMap::new(), revision: FIRST_REVISION }),
            hub: Hub::new(FIRST_REVISION, history),
        }
    }

    fn write(&self, txn: Txn) -> Result<Outcome, Error> {
        txn.validate()?;
        let _writer = self.writer.lock();
        self.hub.check()?;
        let mut events = Vec::new();
        let outcome = {
            let mut data = self.data.write();
            let current = data.revision;
            let Ok(outcome) = apply::apply(&mut *data, txn, current, &mut events);
            if let Some(last) = events.last() {
                data.revision = last.revision;
                self.hub.stage(&events);
            }
            outcome
        };
        if !events.is_empty() {
            self.hub.publish(&events.into());
            self.hub.flush();
            self.hub.check()?;
        }
        Ok(outcome)
    }

    fn read_page(&self, prefix: &str, options: ListOptions<'_>) -> Result<Page, Error> {
        let data = self.data.read();
        let revision = options.revision.unwrap_or(data.revision);
        let overlay = match options.revision {
            Some(revision) => self.hub.overlay(prefix, options.start_after, revision, data.revision)?,
            None => overlay::Overlay::new(),
        };
        let range = (lower_bound(prefix, options.start_after), Bound::Unbounded);
        let base = data.keys.range::<str, _>(range).take_while(|(key, _)| key.starts_with(prefix));
        overlay::page(base.map(|(key, stored)| Ok(stored.entry(key))), overlay, options, revision)
    }
}

impl Stored {
    fn entry(&self, key: &Key) -> Entry {
        Entry {
            key: key.clone(),
            value: self.value.clone(),
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
        }
    }
}

impl Table for Data {
    type Error = Infallible;

    fn get(&self, key: &Key) -> Result<Option<Entry>, Infallible> {
        Ok(self.keys.get(key).map(|stored| stored.entry(key)))
    }

    fn mod_revision(&self, key: &Key) -> Result<u64, Infallible> {
        Ok(self.keys.get(key).map_or(0, |stored| stored.mod_revision))
    }

    fn put(&mut self, entry: &Entry) -> Result<(), Infallible> {
        let stored = Stored {
            value: entry.value.clone(),
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
        };
        self.keys.insert(entry.key.clone(), stored);
        Ok(())
    }

    fn delete(&mut self, key: &Key) -> Result<(), Infallible> {
        self.keys.remove(key);
        Ok(())
    }
}

impl Store for MemStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        let data = self.data.read();
        let entry = data.keys.get_key_value(key).map(|(key, stored)| stored.entry(key));
        Box::pin(ready(Ok(entry)))
    }

    fn list<'a>(&'a self, prefix: &'a str, options: ListOptions<'a>) -> BoxFuture<'a, Result<Page, Error>> {
        Box::pin(ready(self.read_page(prefix, options)))
    }

    fn txn(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, Error>> {
        Box::pin(ready(self.write(txn)))
    }

    fn is_alive(&self) -> bool {
        self.hub.check().is_ok()
    }

    fn revision(&self) -> u64 {
        self.hub.revision()
    }

    fn watch<'a>(&'a self, prefix: &'a str, from_revision: u64) -> BoxFuture<'a, Result<WatchStream, Error>> {
        Box::pin(ready(self.hub.watch(prefix, from_revision)))
    }

    fn subscribe(&self, sink: &Arc<dyn EventSink>) -> u64 {
        self.hub.subscribe(sink)
    }

    fn compact(&self, revision: u64) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(ready(self.hub.compact(revision)))
    }
}

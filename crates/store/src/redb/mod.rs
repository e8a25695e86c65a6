//! The embedded store on one redb file. Writes go through one thread that commits all waiting requests
//! together and syncs before it answers; reads are redb read transactions on the caller's thread. The
//! history for watches starts anew, at the current revision, each time the file is opened.
//!
//! When the device fails or is full, the writes in hand get the error, the file is opened again (which
//! ends at the last whole commit) and the store goes on; nothing that was acknowledged is lost.
//!
//! This must never block on a reader and never acknowledge what is not on the disk.

use std::fs::File;
use std::future::ready;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_core::future::BoxFuture;
use redb::ReadOnlyTable;

use crate::hub::{HistoryLimits, Hub};
use crate::overlay::{self, Overlay, lower_bound};
use crate::{Entry, Error, EventSink, Hold, ListOptions, Outcome, Page, Store, Txn, WatchStream};

mod backend;
mod compact;
mod open;
mod quiet;
mod table;
mod writer;

use open::Place;
use table::{Fault, META, OBJECTS};
use writer::Shared;

/// How to open a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedbOptions {
    /// Memory for the database's page cache, in bytes. The operating system caches the file as well.
    pub cache_bytes: usize,
    /// The size beyond which the file must not grow, in bytes. Writes that need more fail with
    /// [`Error::NoSpace`]; deletes make room.
    pub limit_bytes: u64,
    /// How long to wait for another process that has the store open, such as one that was just killed.
    pub lock_wait: Duration,
    /// History in memory.
    pub history: HistoryLimits,
    /// A file up to this size is never compacted by itself, in bytes.
    pub compact_above_bytes: u64,
}

impl Default for RedbOptions {
    fn default() -> RedbOptions {
        RedbOptions {
            cache_bytes: 2 << 20,
            limit_bytes: u64::MAX,
            lock_wait: Duration::from_secs(2),
            history: HistoryLimits { events: 256, bytes: 1 << 20 },
            compact_above_bytes: 16 << 20,
        }
    }
}

/// A store in one file. Dropping it finishes the writes that wait.
pub struct RedbStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    compactor: Option<JoinHandle<()>>,
    /// Keeps other processes out.
    _lock: File,
}

impl RedbStore {
    /// Opens the store in the file at `path`, creating it if there is none; its directory must exist.
    /// Blocks for the time of the disk. Fails, each clearly, when the file is in use
    /// ([`Error::Locked`]), not ours ([`Error::Foreign`]), from a later version
    /// ([`Error::NewerFormat`]), damaged ([`Error::Damaged`]), or cannot be accessed.
    pub fn open(path: impl AsRef<Path>, options: &RedbOptions) -> Result<RedbStore, Error> {
        let place = Place {
            path: path.as_ref().to_owned(),
            cache_bytes: options.cache_bytes,
            limit_bytes: Arc::new(AtomicU64::new(options.limit_bytes)),
            compact_above_bytes: options.compact_above_bytes,
        };
        let lock = place.lock(options.lock_wait)?;
        let (database, revision) = place.open_or_create()?;
        let hub = Hub::new(revision, options.history);
        let shared = Arc::new(Shared::new(place, database, hub));
        let writer = Some(writer::start(shared.clone(), revision)?);
        // From here on a failure drops the store, which ends the writer.
        let mut store = RedbStore { shared, writer, compactor: None, _lock: lock };
        store.compactor = Some(compact::start(store.shared.clone())?);
        Ok(store)
    }

    /// Writes all objects into a new file of the least size and puts that in the place of the old one, while
    /// reads and writes go on. The store does this by itself when its file has become far larger than what it
    /// holds. Needs room for both files; when it fails the old file stays in use. Blocks for the time of the
    /// disk.
    pub fn compact_file(&self) -> Result<(), Error> {
        compact::rewrite(&self.shared)
    }

    /// Changes [`RedbOptions::limit_bytes`] from now on.
    pub fn set_limit_bytes(&self, limit_bytes: u64) {
        self.shared.place.limit_bytes.store(limit_bytes, Ordering::Relaxed);
    }

    /// Runs `read` on the objects and revision of one read transaction.
    fn read<T>(
        &self,
        read: impl FnOnce(&ReadOnlyTable<&'static [u8], &'static [u8]>, u64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let place = &self.shared.place;
        self.shared.read(|txn| {
            let tables = || -> Result<_, Fault> {
                Ok((txn.open_table(OBJECTS)?, table::revision(&txn.open_table(META)?)?))
            };
            let (objects, revision) = tables().map_err(|fault| place.error(fault))?;
            read(&objects, revision)
        })
    }

    fn read_page(&self, prefix: &str, options: ListOptions<'_>) -> Result<Page, Error> {
        let place = &self.shared.place;
        self.read(|objects, current| {
            let revision = options.revision.unwrap_or(current);
            let overlay = match options.revision {
                Some(revision) => self.shared.hub.overlay(prefix, options.start_after, revision, current)?,
                None => Overlay::new(),
            };
            let from = match lower_bound(prefix, options.start_after) {
                Bound::Excluded(key) => Bound::Excluded(key.as_bytes()),
                _ => Bound::Included(prefix.as_bytes()),
            };
            let range = objects.range::<&[u8]>((from, Bound::Unbounded));
            let range = range.map_err(|error| place.error(error.into()))?;
            let inside = range.take_while(|row| {
                row.as_ref().map_or(true, |(key, _)| key.value().starts_with(prefix.as_bytes()))
            });
            let base = inside.map(|row| {
                let row = row.map_err(Fault::from).and_then(|(key, value)| table::decode_row(&key, &value));
                row.map_err(|fault| place.error(fault))
            });
            overlay::page(base, overlay, options, revision)
        })
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.compaction.stop();
        for thread in [self.writer.take(), self.compactor.take()].into_iter().flatten() {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
        self.shared.hub.close();
    }
}

impl Store for RedbStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        let entry =
            self.read(|objects, _| table::get(objects, key).map_err(|fault| self.shared.place.error(fault)));
        Box::pin(ready(entry))
    }

    fn list<'a>(&'a self, prefix: &'a str, options: ListOptions<'a>) -> BoxFuture<'a, Result<Page, Error>> {
        Box::pin(ready(self.read_page(prefix, options)))
    }

    fn txn(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, Error>> {
        self.txn_holding(txn, Box::new(()))
    }

    fn txn_holding(&self, txn: Txn, hold: Hold) -> BoxFuture<'_, Result<Outcome, Error>> {
        let waiting = txn.validate().and_then(|()| self.shared.enqueue(txn, hold));
        Box::pin(async move {
            let answer = waiting?.await;
            // The writer ended before it came to this one.
            answer.unwrap_or_else(|_| Err(self.shared.hub.check().err().unwrap_or(Error::Closed)))
        })
    }

    fn is_writable(&self) -> bool {
        !self.shared.failing.load(Ordering::Relaxed)
    }

    fn is_alive(&self) -> bool {
        !self.shared.ended.load(Ordering::Relaxed) && self.shared.hub.check().is_ok()
    }

    fn revision(&self) -> u64 {
        self.shared.hub.revision()
    }

    fn watch<'a>(&'a self, prefix: &'a str, from_revision: u64) -> BoxFuture<'a, Result<WatchStream, Error>> {
        Box::pin(ready(self.shared.hub.watch(prefix, from_revision)))
    }

    fn subscribe(&self, sink: &Arc<dyn EventSink>) -> u64 {
        self.shared.hub.subscribe(sink)
    }

    fn compact(&self, revision: u64) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(ready(self.shared.hub.compact(revision)))
    }
}

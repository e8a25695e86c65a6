//! Keeps the file in proportion to what it holds. redb uses freed pages again but gives few of them back, and
//! doubles the file when it has none. When the file is far larger than it need be, all objects are copied into a
//! new one while the store goes on; then, between two commits, the last changes are added and the new file takes
//! the name of the old one. Until that moment the old file is the store, so a crash at any time loses nothing.
//!
//! It must never make a writer wait for more than the last few changes, nor touch the old file.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use redb::{Database, ReadTransaction};

use super::open::io_error;
use super::table::{self, Fault, META, META_REVISION, OBJECTS, Objects};
use super::writer::Shared;
use crate::apply::Table;
use crate::{Entry, Error, Event, EventKind, Events, Key};

/// How many times larger than necessary a file may be. Pages are two thirds full after random writes, and redb
/// doubles a file that is full; with less than the product of the two a file would be compacted for ever.
const WASTE: u64 = 3;
/// The file is looked at again when so large a share of its size has been written: 1 / LOOK_SHARE.
const LOOK_SHARE: u64 = 4;
/// What a change may cost in the file besides its value: the page that holds its key.
const TOUCHED_BYTES: u64 = 4096;
/// Bytes and objects that are copied at a time.
const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_OBJECTS: usize = 1024;
/// Most bytes of changes that may wait to be copied; a store that is written faster is left as it is.
const LIMIT_LOG_BYTES: usize = 64 << 20;
/// Changes of at most so many bytes are left for the moment in which writers wait.
const LAST_BYTES: usize = 256 << 10;
/// How often the rest is copied without stopping the writers.
const CATCH_UP_ROUNDS: usize = 16;

/// Whether a file is worth being copied.
fn worth(file_bytes: u64, needed_bytes: u64, above_bytes: u64) -> bool {
    file_bytes > above_bytes && file_bytes / WASTE > needed_bytes
}

/// What a file needs at least, roughly: entries packed into pages in their order, those that are larger than a
/// page into the next power of two of pages.
#[derive(Default)]
struct Needed {
    bytes: u64,
    /// How much of the last page is used.
    used: u64,
}

impl Needed {
    const PAGE: u64 = 4096;
    /// Head of a page, and lengths and revisions of an entry.
    const PAGE_HEAD: u64 = 32;
    const ENTRY_HEAD: u64 = 24;

    fn add(&mut self, key: usize, value: usize) {
        let size = (key + value) as u64 + Self::ENTRY_HEAD;
        if self.bytes == 0 || self.used + size > Self::PAGE {
            self.used = Self::PAGE_HEAD;
            self.bytes += (size + Self::PAGE_HEAD).next_power_of_two().max(Self::PAGE);
        }
        self.used += size;
    }
}

/// What the writer and the compactor tell each other.
#[derive(Default)]
pub(super) struct Compaction {
    /// Changes since a copy began; `None` when there is none, or when it cannot be completed.
    log: Mutex<Option<Log>>,
    /// One at a time.
    running: Mutex<()>,
    /// Roughly what has been written since the last look at the file, and when to look again.
    written: AtomicU64,
    look_at: AtomicU64,
    due: Mutex<bool>,
    wake: Condvar,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Log {
    events: Vec<Events>,
    bytes: usize,
}

impl Compaction {
    /// The writer has made these events durable; called inside the gate.
    pub(super) fn committed(&self, events: &Events) {
        if events.is_empty() {
            return;
        }
        let bytes: usize = events.iter().map(|event| event.key.len() + event.value.len()).sum();
        let mut log = self.log.lock();
        if let Some(waiting) = log.as_mut() {
            waiting.bytes += bytes;
            waiting.events.push(events.clone());
            if waiting.bytes > LIMIT_LOG_BYTES {
                *log = None;
            }
        }
        drop(log);
        let touched = bytes as u64 + events.len() as u64 * TOUCHED_BYTES;
        // In one order with those of `looked`: one of the two sees what the other has stored.
        let written = self.written.fetch_add(touched, Ordering::SeqCst) + touched;
        if written >= self.look_at.load(Ordering::SeqCst) {
            self.set_due();
        }
    }

    /// A look at the file begins. What is written from now on may not be seen by it, and counts for the next one.
    fn looking(&self) {
        *self.due.lock() = false;
        self.written.store(0, Ordering::SeqCst);
    }

    /// It has ended: the next one is due when `again` bytes have been written since it began.
    fn looked(&self, again: u64) {
        self.look_at.store(again, Ordering::SeqCst);
        if self.written.load(Ordering::SeqCst) >= again {
            self.set_due();
        }
    }

    /// Waits until a look is due, or the end.
    fn wait(&self) {
        let mut due = self.due.lock();
        while !*due && !self.is_stopped() {
            self.wake.wait(&mut due);
        }
    }

    /// A commit failed: what the file holds is for the writer to find out, and a copy is void.
    pub(super) fn give_up(&self) {
        *self.log.lock() = None;
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.set_due();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn set_due(&self) {
        let mut due = self.due.lock();
        if !*due {
            *due = true;
            self.wake.notify_one();
        }
    }

    /// The changes since the last call.
    fn take_log(&self) -> Option<Log> {
        self.log.lock().as_mut().map(std::mem::take)
    }
}

/// Starts the thread that looks at the file now and whenever a good part of its size has been written; it ends after
/// [`Compaction::stop`].
pub(super) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, Error> {
    let path = shared.place.path.clone();
    std::thread::Builder::new()
        .name("store-compactor".into())
        .spawn(move || run(&shared))
        .map_err(|error| Error::Io { path, reason: format!("cannot start a thread: {error}") })
}

fn run(shared: &Shared) {
    let compaction = &shared.compaction;
    loop {
        compaction.looking();
        if let Err(error) = look(shared)
            && !compaction.is_stopped()
        {
            tracing::warn!(%error, "the store file was not compacted and stays as it is");
        }
        let again = (file_bytes(shared).unwrap_or(0) / LOOK_SHARE).max(shared.place.compact_above_bytes);
        compaction.looked(again);
        compaction.wait();
        if compaction.is_stopped() {
            return;
        }
    }
}

/// Compacts the file if it is worth it.
fn look(shared: &Shared) -> Result<(), Error> {
    let (before, above) = (file_bytes(shared)?, shared.place.compact_above_bytes);
    // With nothing in it the file could be this small.
    if !worth(before, 0, above) {
        return Ok(());
    }
    let needed = needed_bytes(shared)?;
    if !worth(before, needed, above) {
        return Ok(());
    }
    rewrite(shared)?;
    tracing::info!(before, after = file_bytes(shared)?, "compacted the store file");
    Ok(())
}

fn file_bytes(shared: &Shared) -> Result<u64, Error> {
    let path = &shared.place.path;
    std::fs::metadata(path).map(|metadata| metadata.len()).map_err(|error| io_error(path, &error))
}

fn needed_bytes(shared: &Shared) -> Result<u64, Error> {
    let mut needed = Needed::default();
    each_chunk(shared, &mut |chunk| {
        chunk.iter().for_each(|entry| needed.add(entry.key.len(), entry.value.len()));
        Ok(())
    })?;
    Ok(needed.bytes)
}

/// Hands all objects to `take`, each chunk as it is at some moment since the call.
fn each_chunk(shared: &Shared, take: &mut dyn FnMut(Vec<Entry>) -> Result<(), Error>) -> Result<(), Error> {
    let mut after: Option<Key> = None;
    loop {
        if shared.compaction.is_stopped() {
            return Err(Error::Closed);
        }
        let chunk = read_chunk(shared, after.as_deref())?;
        let Some(last) = chunk.last() else { return Ok(()) };
        after = Some(last.key.clone());
        take(chunk)?;
    }
}

fn read<T>(shared: &Shared, read: impl FnOnce(&ReadTransaction) -> Result<T, Fault>) -> Result<T, Error> {
    shared.read(|txn| read(txn).map_err(|fault| shared.place.error(fault)))
}

/// The next objects behind a key; none at the end. A short read: as long as it lasts redb frees no pages.
fn read_chunk(shared: &Shared, after: Option<&str>) -> Result<Vec<Entry>, Error> {
    read(shared, |txn| {
        let objects = txn.open_table(OBJECTS)?;
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_bytes()));
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        for row in objects.range::<&[u8]>((from, Bound::Unbounded))? {
            let (key, value) = row?;
            let entry = table::decode_row(&key, &value)?;
            bytes += entry.key.len() + entry.value.len();
            chunk.push(entry);
            if bytes >= CHUNK_BYTES || chunk.len() >= CHUNK_OBJECTS {
                break;
            }
        }
        Ok(chunk)
    })
}

/// Copies the store into a new file and puts that in the place of the old one.
pub(super) fn rewrite(shared: &Shared) -> Result<(), Error> {
    let _one = shared.compaction.running.lock();
    let place = &shared.place;
    let done = place.fresh().and_then(|fresh| {
        *shared.compaction.log.lock() = Some(Log::default());
        place.guard(|| {
            copy(shared, &fresh)?;
            switch(shared, fresh)
        })
    });
    *shared.compaction.log.lock() = None;
    if done.is_err() {
        // If it stays the next start or the next compaction overwrites it.
        let _ = std::fs::remove_file(place.new_path());
    }
    done
}

/// Everything but the changes of the last moment.
fn copy(shared: &Shared, fresh: &Database) -> Result<(), Error> {
    let place = &shared.place;
    let fail = |fault: Fault| place.error(fault);
    // In one transaction, so that no page is written twice.
    let txn = fresh.begin_write().map_err(|error| fail(error.into()))?;
    {
        let mut objects = Objects(txn.open_table(OBJECTS).map_err(|error| fail(error.into()))?);
        each_chunk(shared, &mut |chunk| {
            chunk.iter().try_for_each(|entry| objects.put(entry)).map_err(fail)?;
            // A chunk may be older than one that follows. Replaying every change since the copy began, in
            // order, ends in the right state whatever the chunks were.
            replay(&changes(shared)?, &mut objects).map_err(fail)
        })?;
    }
    txn.commit().map_err(|error| fail(error.into()))?;
    for _ in 0..CATCH_UP_ROUNDS {
        let waiting = shared.compaction.log.lock().as_ref().map_or(0, |log| log.bytes);
        if waiting <= LAST_BYTES {
            break;
        }
        add(shared, fresh, None)?;
    }
    Ok(())
}

/// Between two commits: adds the last changes and lets the new file take the place of the old one.
fn switch(shared: &Shared, fresh: Database) -> Result<(), Error> {
    let place = &shared.place;
    let gate = shared.gate.lock();
    let revision = read(shared, |txn| table::revision(&txn.open_table(META)?))?;
    add(shared, &fresh, Some(revision))?;
    std::fs::rename(place.new_path(), &place.path).map_err(|error| io_error(&place.path, &error))?;
    let old = shared.database.write().replace(fresh);
    let synced = place.sync_directory();
    if let Err(error) = &synced {
        // After a power failure the old file might be back: no write may be acknowledged until the directory
        // is durable, which the writer finds out when it opens the file again.
        tracing::error!(%error, "the store's directory cannot be synced");
        drop(shared.database.write().take());
    }
    drop(gate);
    drop(old);
    synced.map_err(|error| io_error(&place.path, &error))
}

/// Adds the changes since the last call to the new file, and the revision.
fn add(shared: &Shared, fresh: &Database, revision: Option<u64>) -> Result<(), Error> {
    let changes = changes(shared)?;
    let write = || -> Result<(), Fault> {
        let txn = fresh.begin_write()?;
        replay(&changes, &mut Objects(txn.open_table(OBJECTS)?))?;
        if let Some(revision) = revision {
            txn.open_table(META)?.insert(META_REVISION, revision.to_le_bytes().as_slice())?;
        }
        Ok(txn.commit()?)
    };
    write().map_err(|fault| shared.place.error(fault))
}

fn changes(shared: &Shared) -> Result<Vec<Events>, Error> {
    let log = shared.compaction.take_log().ok_or_else(|| {
        let reason = "too much was written, or a write failed, while it was compacted".to_owned();
        Error::Io { path: shared.place.path.clone(), reason }
    })?;
    Ok(log.events)
}

fn replay(changes: &[Events], objects: &mut Objects<'_>) -> Result<(), Fault> {
    changes.iter().flat_map(|events| events.iter()).try_for_each(|event| replay_one(event, objects))
}

fn replay_one(event: &Event, objects: &mut Objects<'_>) -> Result<(), Fault> {
    match event.kind {
        EventKind::Delete => objects.delete(&event.key),
        EventKind::Put => objects.put(&Entry {
            key: event.key.clone(),
            value: event.value.clone(),
            create_revision: event.create_revision,
            mod_revision: event.revision,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_files_with_much_waste_are_worth_it() {
        const MIB: u64 = 1 << 20;
        let cases = [
            (16 * MIB, 0, false),
            (17 * MIB, 0, true),
            (17 * MIB, 6 * MIB, false),
            (30 * MIB, 10 * MIB, false),
            (31 * MIB, 10 * MIB, true),
            (u64::MAX, u64::MAX / 2, false),
        ];
        for (file, needed, want) in cases {
            assert_eq!(worth(file, needed, 16 * MIB), want, "{file} {needed}");
        }
    }

    #[test]
    fn what_is_written_during_a_look_counts_for_the_next() {
        let write = |compaction: &Compaction, n: usize| {
            let event = Event {
                revision: 1,
                kind: EventKind::Delete,
                key: "/k".into(),
                value: bytes::Bytes::new(),
                create_revision: 1,
                prev: None,
            };
            compaction.committed(&vec![event; n].into());
        };
        let is_due = |compaction: &Compaction| *compaction.due.lock();
        let compaction = Compaction::default();
        compaction.looking();
        compaction.looked(100 * TOUCHED_BYTES);
        assert!(!is_due(&compaction));
        write(&compaction, 100);
        assert!(is_due(&compaction));
        // The file is smaller afterwards, so that less is enough.
        compaction.looking();
        write(&compaction, 60);
        assert!(!is_due(&compaction), "not enough by what the file was");
        compaction.looked(50 * TOUCHED_BYTES);
        assert!(is_due(&compaction), "it was written while the look went on");
        compaction.looking();
        write(&compaction, 30);
        compaction.looked(50 * TOUCHED_BYTES);
        assert!(!is_due(&compaction));
        write(&compaction, 20);
        assert!(is_due(&compaction), "both together");
        compaction.wait();
    }

    #[test]
    fn what_is_needed_is_counted_in_pages() {
        let cases: [(&[usize], u64); 6] = [
            (&[], 0),
            (&[0], 1),
            (&[1000, 1000, 1000], 1),
            (&[2200, 2200], 2),
            (&[6000], 2),
            (&[9000, 100, 5000], 7),
        ];
        for (values, pages) in cases {
            let mut needed = Needed::default();
            values.iter().for_each(|value| needed.add(40, *value));
            assert_eq!(needed.bytes, pages * Needed::PAGE, "{values:?}");
        }
    }
}

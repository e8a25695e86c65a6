//! The store: ordered keys with values, one revision counter, transactions and change events. This is the
//! only crate that knows a database.
//!
//! * [`Store`] is the trait; [`mem::MemStore`] and [`redb::RedbStore`] implement it (etcd comes later).
//! * [`suite`] proves what the trait promises, for any backend.
//!
//! Promises of every backend:
//! * Every transaction that changes something gets one revision of its own. Revisions grow in commit
//!   order; an empty store is at revision 1, so the first change is revision 2. They survive a restart.
//! * A transaction that was answered `Committed` is durable (as far as the backend is).
//! * Every sink given to [`Store::subscribe`] has seen the events of a transaction before the writer gets
//!   its answer: a cache fed by a sink needs no waiting to read one's own writes.
//! * Nobody waits for a slow watcher: it is cut off with [`Error::WatcherTooSlow`].
//!
//! Values are opaque bytes: this crate must never look into them.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use futures_core::future::BoxFuture;

mod apply;
mod error;
mod hub;
pub mod mem;
mod overlay;
pub mod redb;
pub mod suite;
mod types;

pub use error::Error;
pub use hub::HistoryLimits;
pub use types::{
    Batch, Entry, Event, EventKind, Events, Guard, Key, LIMIT_KEY_BYTES, LIMIT_TXN_BYTES, LIMIT_TXN_OPS,
    LIMIT_VALUE_BYTES, ListOptions, Op, Outcome, Page, Prev, Txn,
};

/// Batches of events, each once and in order. The stream ends after its first error.
pub type WatchStream = Pin<Box<dyn Stream<Item = Result<Batch, Error>> + Send>>;

/// Something to be kept until a transaction is decided: the store drops it then.
pub type Hold = Box<dyn Any + Send>;

/// Gets every change of the store, called by its writer in commit order. Must be quick, must not block
/// and must not write to the store.
pub trait EventSink: Send + Sync {
    /// Takes whole transactions, durable but not yet answered. When this returns, reads through whatever
    /// the sink feeds must show them. A sink that panics ends the store's writes
    /// ([`Error::SinkFailed`]); the other sinks are still told.
    fn apply(&self, events: &Events);

    /// Called after the writers of the applied transactions were answered and before the next `apply`:
    /// the place for work that nobody needs to wait for, such as waking watchers.
    fn flush(&self) {}
}

/// Ordered keys with values and one revision counter. See the crate's documentation for its promises.
///
/// Futures of the embedded stores need no runtime; those of [`mem::MemStore`] are ready at once.
/// A dropped `txn` future does not take the transaction back.
pub trait Store: Send + Sync + 'static {
    /// The newest state of one key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, Error>>;

    /// Keys that begin with `prefix`, in order. Fails with [`Error::Compacted`] or
    /// [`Error::FutureRevision`] when `options.revision` is not available.
    fn list<'a>(&'a self, prefix: &'a str, options: ListOptions<'a>) -> BoxFuture<'a, Result<Page, Error>>;

    /// Compares and changes, all or nothing. An error (not a conflict) means that nothing was written,
    /// except for [`Error::Indeterminate`], [`Error::Closed`] and [`Error::SinkFailed`].
    fn txn(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, Error>>;

    /// As [`Store::txn`], and `hold` is dropped once the fate of the transaction is known and, if it is
    /// committed, all sinks have seen it, before the caller gets the answer. A dropped future does not drop
    /// `hold` earlier. A store whose transactions outlive their futures must not use this default.
    fn txn_holding(&self, txn: Txn, hold: Hold) -> BoxFuture<'_, Result<Outcome, Error>> {
        Box::pin(async move {
            let outcome = self.txn(txn).await;
            drop(hold);
            outcome
        })
    }

    /// Whether the last attempt to write did not fail; conflicts are no failures. Cheap.
    fn is_writable(&self) -> bool {
        true
    }

    /// Whether this process can go on with the store. `false`, for good, when its writer has ended or something
    /// that is fed by it panicked: what is read from caches may then be wrong, and the process has to be started
    /// again. Cheap.
    fn is_alive(&self) -> bool {
        true
    }

    /// The last revision that all sinks have seen. Cheap.
    fn revision(&self) -> u64;

    /// The newest revision anywhere, for consistent reads: the same as [`Store::revision`] where this
    /// process is the only writer, a question to the quorum otherwise.
    fn latest_revision(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(std::future::ready(Ok(self.revision())))
    }

    /// Events of keys under `prefix` with a revision of at least `from_revision`, the past ones from the
    /// bounded history. Fails with [`Error::Compacted`] when history does not reach back so far.
    fn watch<'a>(&'a self, prefix: &'a str, from_revision: u64) -> BoxFuture<'a, Result<WatchStream, Error>>;

    /// Adds a sink and returns the last revision whose events it will not get. The store keeps it weakly:
    /// it is called for as long as the caller holds it. Not to be called from a sink.
    fn subscribe(&self, sink: &Arc<dyn EventSink>) -> u64;

    /// Forgets the history up to and including `revision`; the newest state is never lost.
    fn compact(&self, revision: u64) -> BoxFuture<'_, Result<(), Error>>;
}

//! The one error type of the stores. Every variant says what happened to the request and, where there is
//! one, what the operator can do.

use std::path::PathBuf;

/// Why a store refused or failed a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The revision asked for is older than the history that is kept. `oldest` is the oldest revision
    /// that can still be asked for.
    #[error("revision has been compacted, the oldest available is {oldest}")]
    Compacted { oldest: u64 },
    /// The revision asked for has not happened yet.
    #[error("revision {requested} is in the future, the current one is {current}")]
    FutureRevision { requested: u64, current: u64 },
    /// The request itself is over a limit (`what` names it) and will never succeed.
    #[error("{what} is {actual}, the limit is {limit}")]
    OverLimit { what: &'static str, actual: usize, limit: usize },
    /// A transaction that names one key twice in its operations, or an empty key.
    #[error("invalid transaction: {0}")]
    Invalid(String),
    /// Too many requests wait for the writer; nothing was written.
    #[error("the store is overloaded: {waiting} writes are waiting")]
    Overloaded { waiting: usize },
    /// No space is left for the write; nothing was written and the store goes on.
    #[error("no space left on the device that holds {}", path.display())]
    NoSpace { path: PathBuf },
    /// Any other failure of the device or file system; the write did not happen.
    #[error("cannot read or write {}: {reason}", path.display())]
    Io { path: PathBuf, reason: String },
    /// The device failed during the commit and the file could not be read afterwards: the write may or
    /// may not turn out to be there. All other errors but `Closed` mean that nothing was written.
    #[error("it is not known whether the write to {} succeeded: {reason}", path.display())]
    Indeterminate { path: PathBuf, reason: String },
    /// The file is one of ours but its content is not consistent.
    #[error("the store file {} is damaged: {reason}; restore it from a backup", path.display())]
    Damaged { path: PathBuf, reason: String },
    /// The file was not written by this program.
    #[error("{} is not a Corten store: {reason}; choose another state directory", path.display())]
    Foreign { path: PathBuf, reason: String },
    /// The file was written by a later version.
    #[error("{} has store format {found}, this version reads up to {supported}; start the version that wrote it, or a later one", path.display())]
    NewerFormat { path: PathBuf, found: u32, supported: u32 },
    /// Another process has the store open.
    #[error("the store {} is in use by another process", path.display())]
    Locked { path: PathBuf },
    /// The operating system refused access.
    #[error("no permission to open {}; start as the user that it belongs to", path.display())]
    NoPermission { path: PathBuf },
    /// The file system does not take writes.
    #[error("{} is on a read-only file system; make it writable or choose another state directory", path.display())]
    ReadOnly { path: PathBuf },
    /// The watcher did not keep up and was cut off; it has to list and watch again.
    #[error("the watcher was too slow and was cut off")]
    WatcherTooSlow,
    /// Something that is fed by the store panicked on a change. The write that met it is durable, later ones are
    /// not made.
    #[error("the server failed on a change of the store ({reason}) and must be started again")]
    SinkFailed { reason: String },
    /// The store was shut down, or its writer failed: writes that were waiting may or may not be there.
    #[error("the store is closed")]
    Closed,
}

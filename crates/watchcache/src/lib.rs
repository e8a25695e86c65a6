//! The watch cache: every object of every registered resource as one shared byte string in an ordered map
//! with cheap snapshots, and a ring of recent changes for watches and lists at older revisions.
//!
//! One [`WatchCache`] is the sink of the whole store and hands each change to the [`ResourceCache`] of its
//! key prefix. With the embedded stores it is up to date before the writer has its answer.
//!
//! * get: [`ResourceCache::get`]
//! * list: [`ResourceCache::list`] → [`Snapshot`], which holds no lock and is streamed with
//!   [`Snapshot::cursor`]
//! * watch: [`ResourceCache::watch`] → [`Watch`]
//! * consistent read: [`WatchCache::wait_current`], then list or get
//!
//! Objects are opaque except for the first `"metadata":{` (see [`splice_revision`]) and what the resource's
//! extractor reads into [`Facts`]. Nothing here needs a runtime or starts a task, and time comes from the clock that
//! is given; nobody waits for a slow watcher, and what it does not read is not kept for it.
// k8s: staging/src/k8s.io/apiserver/pkg/storage/cacher

mod cache;
mod change;
mod entry;
mod error;
mod facts;
mod resource;
mod ring;
mod scan;
mod snapshot;
mod splice;
mod watch;
mod watchers;

pub use cache::{Extract, Limits, ResourceSpec, WatchCache};
pub use change::WatchEventType;
pub use entry::Entry;
pub use error::Error;
pub use facts::Facts;
pub use resource::ResourceCache;
pub use scan::scan;
pub use snapshot::{Cursor, RevisionMatch, Snapshot};
pub use splice::splice_revision;
pub use watch::{Start, Watch, WatchEvent, WatchItem};
pub use watchers::{Filter, Scope};

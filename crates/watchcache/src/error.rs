//! Why the cache refused. The API server turns these into a `Status`.

/// An error of the watch cache.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The revision is older than the ring: 410 Expired.
    #[error("too old resource version, the oldest available is {oldest}")]
    Expired { oldest: u64 },
    /// The revision has not happened yet: 504 with "Too large resource version", or wait and try again.
    #[error("Too large resource version: {requested}, current: {current}")]
    TooLarge { requested: u64, current: u64 },
    /// The watcher was cut off because it did not keep up; the watch ends, the client watches again.
    #[error("the watcher was too slow and was cut off")]
    TooSlow,
    /// The resource has its limit of watchers: 429.
    #[error("too many watchers of one resource, the limit is {limit}")]
    TooManyWatchers { limit: usize },
    /// The prefix is registered, or lies inside or around one that is.
    #[error("prefix {prefix:?} overlaps the registered prefix {with:?}")]
    Overlap { prefix: String, with: String },
    /// The prefix does not have the form `/…/`.
    #[error("invalid resource prefix {0:?}")]
    InvalidPrefix(String),
    /// The resource was unregistered: its watches end.
    #[error("the resource is no longer served")]
    Unregistered,
    /// The store failed while a resource was filled or a revision was asked for.
    #[error(transparent)]
    Store(#[from] store::Error),
}

//! What can go wrong on the node, sorted by what the pod's owner is shown.

/// A failed step of a pod. `Display` is the message that goes to events and statuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The container's configuration cannot be made: a missing ConfigMap key, a bad field reference.
    #[error("{0}")]
    Config(String),
    /// A volume cannot be mounted.
    #[error("{0}")]
    Volume(String),
    /// An image problem, with its waiting reason: `ErrImagePull`, `InvalidImageName`, ...
    #[error("{message}")]
    Image { reason: &'static str, message: String },
    /// The runtime refused or is away.
    #[error("{0}")]
    Runtime(#[from] cri::Error),
    /// The machine refused.
    #[error("{what}: {why}")]
    Io { what: String, why: String },
    /// The API server refused or is away.
    #[error("{0}")]
    Api(String),
    /// A lifecycle hook failed.
    #[error("{0}")]
    Hook(String),
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An I/O error with what was tried.
    pub fn io(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Error::Io { what: what.into(), why: why.to_string() }
    }
}

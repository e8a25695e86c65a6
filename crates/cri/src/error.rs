//! What can go wrong between a caller and the container runtime.

use tonic::{Code, Status};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed call to the runtime. `op` is the CRI method's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The runtime is not there, or went away during the call: try again later.
    #[error("{op}: container runtime is unavailable: {message}")]
    Unavailable { op: &'static str, message: String },
    /// The call took longer than its limit; what it did is unknown.
    #[error("{op}: timed out: {message}")]
    Timeout { op: &'static str, message: String },
    /// The named sandbox, container or image does not exist.
    #[error("{op}: not found: {message}")]
    NotFound { op: &'static str, message: String },
    /// The name (pod, namespace, uid, attempt or container, attempt) is taken.
    #[error("{op}: already exists: {message}")]
    AlreadyExists { op: &'static str, message: String },
    /// This runtime does not offer the method.
    #[error("{op}: not implemented by this container runtime: {message}")]
    Unimplemented { op: &'static str, message: String },
    /// Any other refusal, with the gRPC code's name.
    #[error("{op}: {code}: {message}")]
    Other { op: &'static str, code: String, message: String },
}

impl Error {
    /// Sorts a gRPC status of method `op`.
    pub fn from_status(op: &'static str, status: &Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::Unavailable => Self::Unavailable { op, message },
            Code::DeadlineExceeded => Self::Timeout { op, message },
            Code::NotFound => Self::NotFound { op, message },
            Code::AlreadyExists => Self::AlreadyExists { op, message },
            Code::Unimplemented => Self::Unimplemented { op, message },
            // tonic reports its own expired timer and a dropped connection as such.
            Code::Cancelled if message.contains("Timeout expired") => Self::Timeout { op, message },
            Code::Unknown if message.contains("transport error") => Self::Unavailable { op, message },
            code => Self::Other { op, code: format!("{code:?}"), message },
        }
    }

    /// The runtime's own words, without the method's name.
    pub fn message(&self) -> &str {
        match self {
            Self::Unavailable { message, .. }
            | Self::Timeout { message, .. }
            | Self::NotFound { message, .. }
            | Self::AlreadyExists { message, .. }
            | Self::Unimplemented { message, .. }
            | Self::Other { message, .. } => message,
        }
    }

    /// Whether the object named in the call does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the runtime cannot be reached.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether the runtime lacks the method.
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Unimplemented { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted() {
        let cases = [
            (Code::NotFound, "no such container", "Version: not found: no such container"),
            (Code::Unavailable, "down", "Version: container runtime is unavailable: down"),
            (Code::Unknown, "transport error", "Version: container runtime is unavailable: transport error"),
            (Code::Unknown, "bad", "Version: Unknown: bad"),
            (Code::Cancelled, "Timeout expired", "Version: timed out: Timeout expired"),
            (Code::Cancelled, "other", "Version: Cancelled: other"),
            (Code::DeadlineExceeded, "late", "Version: timed out: late"),
            (Code::AlreadyExists, "x", "Version: already exists: x"),
            (Code::Unimplemented, "x", "Version: not implemented by this container runtime: x"),
        ];
        for (code, message, want) in cases {
            let err = Error::from_status("Version", &Status::new(code, message));
            assert_eq!(err.to_string(), want);
            assert_eq!(err.message(), message);
        }
    }
}

//! Why an evaluation has no value. It must never hold more than a bounded text.

use std::borrow::Cow;
use std::fmt;

/// Why an evaluation has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: Cow<'static, str>,
    cancelled: bool,
}

/// Longer messages are cut: they hold what expressions made.
const MAX_BYTES: usize = 4096;

impl Error {
    #[must_use]
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_BYTES {
            let mut end = MAX_BYTES;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.to_mut().truncate(end);
        }
        Error { message, cancelled: false }
    }

    /// The budget is used up. No operator absorbs it.
    // k8s: github.com/google/cel-go interpreter/runtimecost.go Observe
    #[must_use]
    pub const fn over_budget() -> Self {
        Error { message: Cow::Borrowed("operation cancelled: actual cost limit exceeded"), cancelled: true }
    }

    #[must_use]
    pub const fn no_such_overload() -> Self {
        Error { message: Cow::Borrowed("no such overload"), cancelled: false }
    }

    #[must_use]
    pub fn no_such_key(key: impl fmt::Display) -> Self {
        Error::new(format!("no such key: {key}"))
    }

    /// Whether evaluation was cut off, and did not fail by itself.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

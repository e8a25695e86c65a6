//! The writes that a kind tells apart.

/// Which write is happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    /// A write to the object itself.
    Update,
    /// A write to `status`.
    UpdateStatus,
    /// A write through another subresource that changes part of the object (`resize`, `ephemeralcontainers`, ...).
    UpdateSubresource(&'static str),
}

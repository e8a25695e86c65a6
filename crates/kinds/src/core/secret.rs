//! Secret.

use crate::kind::Kind;

/// `v1` Secret.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Secret", "secrets", "secret");

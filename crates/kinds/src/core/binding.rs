//! Binding.

use crate::kind::{CREATE_ONLY, Kind, Storage};

/// `v1` Binding.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Binding", "bindings", "binding")
    .with_verbs(CREATE_ONLY)
    .with_storage(Storage::Virtual);

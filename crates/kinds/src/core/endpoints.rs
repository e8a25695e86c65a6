//! Endpoints.

use crate::kind::Kind;

/// `v1` Endpoints.
pub static KIND: Kind =
    Kind::namespaced_kind("", "v1", "Endpoints", "endpoints", "endpoints").with_short_names(&["ep"]);

//! LimitRange.

use crate::kind::Kind;

/// `v1` LimitRange.
pub static KIND: Kind =
    Kind::namespaced_kind("", "v1", "LimitRange", "limitranges", "limitrange").with_short_names(&["limits"]);

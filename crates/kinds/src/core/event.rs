//! Event.

use crate::kind::{Kind, NameRule};

/// `v1` Event.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Event", "events", "event")
    .with_short_names(&["ev"])
    .with_names(NameRule::PathSegment);

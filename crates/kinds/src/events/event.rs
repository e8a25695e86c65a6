//! Event.

use crate::kind::{Kind, NameRule};

/// `events.k8s.io/v1` Event.
pub static KIND: Kind = Kind::namespaced_kind("events.k8s.io", "v1", "Event", "events", "event")
    .with_short_names(&["ev"])
    .with_names(NameRule::PathSegment);

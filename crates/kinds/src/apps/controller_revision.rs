//! ControllerRevision.

use crate::kind::Kind;

/// `apps/v1` ControllerRevision.
pub static KIND: Kind =
    Kind::namespaced_kind("apps", "v1", "ControllerRevision", "controllerrevisions", "controllerrevision");

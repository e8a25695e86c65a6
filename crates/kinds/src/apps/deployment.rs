//! Deployment.

use crate::kind::{Kind, WITH_SCALE};

/// `apps/v1` Deployment.
pub static KIND: Kind = Kind::namespaced_kind("apps", "v1", "Deployment", "deployments", "deployment")
    .with_short_names(&["deploy"])
    .with_categories(&["all"])
    .with_subresources(WITH_SCALE);

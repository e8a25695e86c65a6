//! Job.

use crate::kind::{Kind, WITH_STATUS};

/// `batch/v1` Job.
pub static KIND: Kind = Kind::namespaced_kind("batch", "v1", "Job", "jobs", "job")
    .with_categories(&["all"])
    .with_subresources(WITH_STATUS);

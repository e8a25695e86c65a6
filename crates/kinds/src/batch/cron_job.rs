//! CronJob.

use crate::kind::{Kind, WITH_STATUS};

/// `batch/v1` CronJob.
pub static KIND: Kind = Kind::namespaced_kind("batch", "v1", "CronJob", "cronjobs", "cronjob")
    .with_short_names(&["cj"])
    .with_categories(&["all"])
    .with_subresources(WITH_STATUS);

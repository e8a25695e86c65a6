//! The scheduler: queue, snapshot, one file per plugin.

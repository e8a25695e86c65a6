//! Controllers of the batch group.

pub mod cronjob;
pub mod job;
pub mod ttlafterfinished;
pub mod types;

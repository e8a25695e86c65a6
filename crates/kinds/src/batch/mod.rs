//! Kinds of batch.

pub mod cron_job;
pub mod job;
mod job_indexes;
mod job_policy;
mod job_rules;
mod job_status;

//! What the controllers of workloads share: whose objects are whose, pods from templates, names that follow from
//! what is there, revisions of a template.

pub mod names;
pub mod revision;
pub mod template;
pub mod workload;

//! Objects that upstream's controllers within the API server keep, as data: what every client finds in a cluster.
//! It must never know how they are written.

pub mod api_services;
pub mod flow_control;
pub mod service_cidr;

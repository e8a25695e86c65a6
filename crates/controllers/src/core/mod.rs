//! Core group: the projections that several controllers share, and the controllers of core kinds.

pub mod affinity;
pub mod condition;
pub mod endpoints;
pub mod namespace;
pub mod node;
pub mod nodeipam;
pub mod nodelifecycle;
pub mod pod;
pub mod podgc;
pub mod replicationcontroller;
pub mod rootca;
pub mod service;
pub mod serviceaccount;
pub mod serviceaccounttoken;
pub mod tainteviction;

//! The registry of built-in kinds. Everything the server does with a kind follows from one declaration
//! here and from the schema. It must never do I/O.

pub mod admissionregistration;
pub mod apiextensions;
pub mod apiregistration;
pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod columns;
pub mod conditions;
pub mod coordination;
pub mod core;
pub mod defaults;
pub mod discovery;
pub mod events;
pub mod flowcontrol;
pub mod kind;
pub mod metadata;
pub mod networking;
pub mod node;
pub mod operation;
pub mod policy;
pub mod rbac;
pub mod registry;
pub mod resource;
pub mod rules;
pub mod scale;
pub mod scheduling;
pub mod selectable;
pub mod shape;
pub mod storage;
pub mod storagemigration;
pub mod warnings;

#[cfg(test)]
mod sweep;
#[cfg(test)]
mod testing;

pub use kind::{
    Cell, Column, Context, Conversion, Kind, KindRef, NameRule, Operation, Own, ScalePaths, Scope, Storage,
    Strategy, Subresource,
};
pub use registry::{all, by_kind, by_resource, groups, of_version};
pub use selectable::{Absent, Selectable};

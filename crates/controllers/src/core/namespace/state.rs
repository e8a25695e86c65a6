//! What a decision on a terminating namespace is made from.

use std::sync::Arc;

use meta::Status;
use reconcile::{Failure, Partial, ResourceInfo};

use super::types::Namespace;

/// What a live list of one resource in the namespace said.
#[derive(Clone, Debug)]
pub struct Content {
    pub resource: ResourceInfo,
    pub items: Result<Vec<Partial>, Status>,
}

/// What a decision on a terminating namespace depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub ns: Arc<Namespace>,
    pub resources: Vec<ResourceInfo>,
    /// Groups that discovery could not read.
    pub undiscovered: Vec<String>,
    /// Empty: nothing has been listed yet.
    pub content: Vec<Content>,
    pub failures: Vec<Failure>,
}

//! What a decision on a service's slices is made from.

use std::sync::Arc;

use super::types::EndpointSlice;
use crate::core::pod::Pod;
use crate::core::service::Service;

/// What a decision on a service's slices depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub service: Arc<Service>,
    /// Selected pods with an address.
    pub pods: Vec<Backend>,
    /// The slices that this controller made for a service of that name.
    pub slices: Vec<Arc<EndpointSlice>>,
}

/// A pod behind the service.
#[derive(Clone, Debug, Default)]
pub struct Backend {
    pub pod: Arc<Pod>,
    /// Whether its node is known. A pod of a node that is gone will go too.
    pub node_known: bool,
    /// The zone of its node.
    pub zone: Option<Box<str>>,
}

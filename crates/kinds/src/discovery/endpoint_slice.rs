//! EndpointSlice.

use crate::kind::Kind;

/// `discovery.k8s.io/v1` EndpointSlice.
pub static KIND: Kind =
    Kind::namespaced_kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice");

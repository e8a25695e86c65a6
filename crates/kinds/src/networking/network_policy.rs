//! NetworkPolicy.

use crate::kind::Kind;

/// `networking.k8s.io/v1` NetworkPolicy.
pub static KIND: Kind =
    Kind::namespaced_kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "networkpolicy")
        .with_short_names(&["netpol"]);

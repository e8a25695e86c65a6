//! IngressClass.

use crate::kind::Kind;

/// `networking.k8s.io/v1` IngressClass.
pub static KIND: Kind =
    Kind::cluster_kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "ingressclass");

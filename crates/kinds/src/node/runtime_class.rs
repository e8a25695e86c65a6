//! RuntimeClass.

use crate::kind::Kind;

/// `node.k8s.io/v1` RuntimeClass.
pub static KIND: Kind =
    Kind::cluster_kind("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "runtimeclass");

//! Ingress.

use crate::kind::{Kind, WITH_STATUS};

/// `networking.k8s.io/v1` Ingress.
pub static KIND: Kind = Kind::namespaced_kind("networking.k8s.io", "v1", "Ingress", "ingresses", "ingress")
    .with_short_names(&["ing"])
    .with_subresources(WITH_STATUS);

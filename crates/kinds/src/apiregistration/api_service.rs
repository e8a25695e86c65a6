//! APIService.

use crate::kind::{Kind, NameRule, WITH_STATUS};

/// `apiregistration.k8s.io/v1` APIService.
pub static KIND: Kind =
    Kind::cluster_kind("apiregistration.k8s.io", "v1", "APIService", "apiservices", "apiservice")
        .with_categories(&["api-extensions"])
        .with_names(NameRule::PathSegment)
        .with_subresources(WITH_STATUS);

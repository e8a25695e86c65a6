//! CustomResourceDefinition.

use crate::kind::{Kind, WITH_STATUS};

/// `apiextensions.k8s.io/v1` CustomResourceDefinition.
pub static KIND: Kind = Kind::cluster_kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "customresourcedefinition",
)
.with_short_names(&["crd", "crds"])
.with_categories(&["api-extensions"])
.with_subresources(WITH_STATUS);

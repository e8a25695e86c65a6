//! HorizontalPodAutoscaler.

use crate::kind::{Kind, WITH_STATUS};

/// `autoscaling/v2` HorizontalPodAutoscaler.
pub static KIND: Kind = Kind::namespaced_kind(
    "autoscaling",
    "v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    "horizontalpodautoscaler",
)
.with_short_names(&["hpa"])
.with_categories(&["all"])
.with_subresources(WITH_STATUS);

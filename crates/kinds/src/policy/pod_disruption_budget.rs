//! PodDisruptionBudget.

use crate::kind::{Kind, WITH_STATUS};

/// `policy/v1` PodDisruptionBudget.
pub static KIND: Kind = Kind::namespaced_kind(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    "poddisruptionbudget",
)
.with_short_names(&["pdb"])
.with_subresources(WITH_STATUS);

//! SelfSubjectReview.

use crate::kind::{CREATE_ONLY, Kind, Storage};

/// `authentication.k8s.io/v1` SelfSubjectReview.
pub static KIND: Kind = Kind::cluster_kind(
    "authentication.k8s.io",
    "v1",
    "SelfSubjectReview",
    "selfsubjectreviews",
    "selfsubjectreview",
)
.with_verbs(CREATE_ONLY)
.with_storage(Storage::Virtual);

//! SelfSubjectAccessReview.

use crate::kind::{CREATE_ONLY, Kind, Storage};

/// `authorization.k8s.io/v1` SelfSubjectAccessReview.
pub static KIND: Kind = Kind::cluster_kind(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    "selfsubjectaccessreview",
)
.with_verbs(CREATE_ONLY)
.with_storage(Storage::Virtual);

//! LocalSubjectAccessReview.

use crate::kind::{CREATE_ONLY, Kind, Storage};

/// `authorization.k8s.io/v1` LocalSubjectAccessReview.
pub static KIND: Kind = Kind::namespaced_kind(
    "authorization.k8s.io",
    "v1",
    "LocalSubjectAccessReview",
    "localsubjectaccessreviews",
    "localsubjectaccessreview",
)
.with_verbs(CREATE_ONLY)
.with_storage(Storage::Virtual);

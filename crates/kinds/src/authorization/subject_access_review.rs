//! SubjectAccessReview.

use crate::kind::{CREATE_ONLY, Kind, Storage};

/// `authorization.k8s.io/v1` SubjectAccessReview.
pub static KIND: Kind = Kind::cluster_kind(
    "authorization.k8s.io",
    "v1",
    "SubjectAccessReview",
    "subjectaccessreviews",
    "subjectaccessreview",
)
.with_verbs(CREATE_ONLY)
.with_storage(Storage::Virtual);

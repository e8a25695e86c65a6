//! SelfSubjectRulesReview.

use crate::kind::{CREATE_ONLY, Kind, Storage};

/// `authorization.k8s.io/v1` SelfSubjectRulesReview.
pub static KIND: Kind = Kind::cluster_kind(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
    "selfsubjectrulesreview",
)
.with_verbs(CREATE_ONLY)
.with_storage(Storage::Virtual);

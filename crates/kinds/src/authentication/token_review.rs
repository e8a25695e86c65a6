//! TokenReview.

use crate::kind::{CREATE_ONLY, Kind, Storage};

/// `authentication.k8s.io/v1` TokenReview.
pub static KIND: Kind =
    Kind::cluster_kind("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", "tokenreview")
        .with_verbs(CREATE_ONLY)
        .with_storage(Storage::Virtual);

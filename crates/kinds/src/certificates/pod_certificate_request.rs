//! PodCertificateRequest.

use crate::kind::{Kind, WITH_STATUS};

/// `certificates.k8s.io/v1` PodCertificateRequest.
pub static KIND: Kind = Kind::namespaced_kind(
    "certificates.k8s.io",
    "v1",
    "PodCertificateRequest",
    "podcertificaterequests",
    "podcertificaterequest",
)
.with_short_names(&["pcr"])
.with_subresources(WITH_STATUS);

//! PodCertificateRequest.

use crate::kind::{Kind, WITH_STATUS};
use crate::selectable::{Selectable, field};

/// `certificates.k8s.io/v1` PodCertificateRequest.
pub static KIND: Kind = Kind::namespaced_kind(
    "certificates.k8s.io",
    "v1",
    "PodCertificateRequest",
    "podcertificaterequests",
    "podcertificaterequest",
)
.with_subresources(WITH_STATUS)
.with_selectable_fields(FIELDS);

// k8s: pkg/apis/certificates/v1/conversion.go
const FIELDS: &[Selectable] = &[field("spec.signerName"), field("spec.podName"), field("spec.nodeName")];

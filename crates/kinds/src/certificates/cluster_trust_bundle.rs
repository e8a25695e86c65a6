//! ClusterTrustBundle.

use crate::kind::{Kind, NameRule};
use crate::selectable::{Selectable, field};

/// `certificates.k8s.io/v1` ClusterTrustBundle.
pub static KIND: Kind = Kind::cluster_kind(
    "certificates.k8s.io",
    "v1",
    "ClusterTrustBundle",
    "clustertrustbundles",
    "clustertrustbundle",
)
.with_names(NameRule::PathSegment)
.with_selectable_fields(FIELDS);

// k8s: pkg/apis/certificates/v1/conversion.go
const FIELDS: &[Selectable] = &[field("spec.signerName")];

//! Lease.

use crate::kind::Kind;

/// `coordination.k8s.io/v1` Lease.
pub static KIND: Kind = Kind::namespaced_kind("coordination.k8s.io", "v1", "Lease", "leases", "lease");

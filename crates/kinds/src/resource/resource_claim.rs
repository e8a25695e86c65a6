//! ResourceClaim: a wish for devices.

use schema::Value;

use crate::columns::{AGE, NAME, text};
use crate::kind::{Cell, Column, Kind, WITH_STATUS};

/// `resource.k8s.io/v1` ResourceClaim.
pub static KIND: Kind =
    Kind::namespaced_kind("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", "resourceclaim")
        .with_subresources(WITH_STATUS)
        .with_columns(COLUMNS)
        .with_status_keeping(crate::kind::USER_METADATA)
        .returning_deleted();

const COLUMNS: &[Column] =
    &[NAME, text("State", "What has become of the claim.", |o, _| Cell::Text(state(o))), AGE];

// k8s: pkg/printers/internalversion/printers.go resourceClaimState
fn state(o: &Value) -> String {
    let mut all = Vec::new();
    if !o.str_at(&["metadata", "deletionTimestamp"]).is_empty() {
        all.push("deleted");
    }
    let allocated = o.at(&["status", "allocation"]).is_some();
    if allocated {
        all.push("allocated");
    }
    if !o.list_at(&["status", "reservedFor"]).is_empty() {
        all.push("reserved");
    }
    if !allocated {
        all.push("pending");
    }
    all.join(",")
}

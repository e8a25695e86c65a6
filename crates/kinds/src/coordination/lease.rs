//! Lease: who holds something, and until when.
// k8s: pkg/apis/coordination/validation/validation.go ValidateLeaseSpec

use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{AGE, NAME, text, text_at};
use crate::kind::{Column, Context, Kind, Operation, Strategy};
use crate::rules::{Errors, non_negative};

/// `coordination.k8s.io/v1` Lease.
pub static KIND: Kind = Kind::namespaced_kind("coordination.k8s.io", "v1", "Lease", "leases", "lease")
    .with_columns(COLUMNS)
    .with_strategy(&LeaseStrategy);

const COLUMNS: &[Column] =
    &[NAME, text("Holder", "Who holds it.", |o, _| text_at(o, &["spec", "holderIdentity"])), AGE];

struct LeaseStrategy;

impl Strategy for LeaseStrategy {
    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let Some(spec) = o.get("spec") else { return errors };
        if let Some(n) = spec.int_at(&["leaseDurationSeconds"]).filter(|n| *n <= 0) {
            let at = path.child("leaseDurationSeconds");
            errors.push(FieldError::invalid(&at, n.to_string(), "must be greater than 0"));
        }
        non_negative(&mut errors, spec, "leaseTransitions", &path);
        errors
    }
}

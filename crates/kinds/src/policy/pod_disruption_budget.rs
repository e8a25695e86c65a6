//! PodDisruptionBudget: how many pods may be evicted at a time.

use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{AGE, NAME, int, int_or_zero, text};
use crate::kind::{Cell, Column, Kind, Operation, Strategy, WITH_STATUS};
use crate::rules::{label_selector, non_negative};
use crate::shape::{Check, Rule, rule};

/// `policy/v1` PodDisruptionBudget.
pub static KIND: Kind = Kind::namespaced_kind(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    "poddisruptionbudget",
)
.with_short_names(&["pdb"])
.with_subresources(WITH_STATUS)
.with_columns(COLUMNS)
.with_strategy(&BudgetStrategy)
.with_rules(RULES)
.with_generation();

// k8s: pkg/apis/policy/validation/validation.go ValidatePodDisruptionBudgetSpec
const RULES: &[Rule] =
    &[rule("spec.unhealthyPodEvictionPolicy", Check::Word(&["AlwaysAllow", "IfHealthyBudget"]))];

const COLUMNS: &[Column] = &[
    NAME,
    text("Min Available", "Pods that must stay.", |o, _| Cell::Text(either(o.at(&["spec", "minAvailable"])))),
    text("Max Unavailable", "Pods that may be missing.", |o, _| {
        Cell::Text(either(o.at(&["spec", "maxUnavailable"])))
    }),
    int("Allowed Disruptions", "Pods that may be evicted now.", |o, _| {
        int_or_zero(o, &["status", "disruptionsAllowed"])
    }),
    AGE,
];

fn either(v: Option<&Value>) -> String {
    match v {
        Some(Value::Int(n)) => n.to_string(),
        Some(Value::Str(s)) => s.to_string(),
        _ => "N/A".to_owned(),
    }
}

struct BudgetStrategy;

impl Strategy for BudgetStrategy {
    fn allow_unconditional_update(&self) -> bool {
        false
    }

    // k8s: pkg/apis/policy/validation/validation.go ValidatePodDisruptionBudgetSpec
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        if o.at(&["spec", "minAvailable"]).is_some() && o.at(&["spec", "maxUnavailable"]).is_some() {
            let why = "minAvailable and maxUnavailable cannot be both set";
            let shown = crate::rules::printed(o.get("spec"));
            errors.push(FieldError::invalid(&path, shown, why));
        }
        for field in ["minAvailable", "maxUnavailable"] {
            let v = o.at(&["spec", field]);
            crate::apps::rolling::count_or_percent(&mut errors, v, &path.child(field));
            crate::apps::rolling::not_over_hundred(&mut errors, v, &path.child(field));
        }
        label_selector(&mut errors, o.at(&["spec", "selector"]), &path.child("selector"));
        errors
    }

    // k8s: pkg/apis/policy/validation/validation.go ValidatePodDisruptionBudgetStatusUpdate
    fn validate_update(&self, new: &Value, _: &Value, op: Operation) -> Vec<FieldError> {
        if op != Operation::UpdateStatus {
            return self.validate(new);
        }
        let mut errors = Vec::new();
        let Some(status) = new.get("status") else { return errors };
        for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
            non_negative(&mut errors, status, field, &Path::new("status"));
        }
        errors
    }
}

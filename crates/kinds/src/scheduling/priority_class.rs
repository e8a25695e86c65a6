//! PriorityClass: the importance of pods.

use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{AGE, NAME, boolean, int, int_or_zero, text, text_at};
use crate::defaults;
use crate::kind::{Cell, Column, Kind, Operation, Strategy};

/// `scheduling.k8s.io/v1` PriorityClass.
pub static KIND: Kind =
    Kind::cluster_kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "priorityclass")
        .with_short_names(&["pc"])
        .with_columns(COLUMNS)
        .with_strategy(&PriorityClassStrategy)
        .with_generation();

const COLUMNS: &[Column] = &[
    NAME,
    int("Value", "The priority.", |o, _| int_or_zero(o, &["value"])),
    boolean("Global-Default", "Whether pods without a class have it.", |o, _| {
        Cell::Bool(o.bool_at(&["globalDefault"]) == Some(true))
    }),
    AGE,
    text("PreemptionPolicy", "Whether its pods may preempt others.", |o, _| {
        text_at(o, &["preemptionPolicy"])
    }),
];

struct PriorityClassStrategy;

/// Users' classes lie below this.
const USER_LIMIT: i64 = 1_000_000_000;

impl Strategy for PriorityClassStrategy {
    fn default_fields(&self, o: &mut Value) {
        defaults::text(o, "preemptionPolicy", "PreemptLowerPriority");
    }

    // k8s: pkg/apis/scheduling/validation/validation.go ValidatePriorityClass
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let name = o.str_at(&["metadata", "name"]);
        let n = o.int_at(&["value"]).unwrap_or(0);
        let system = matches!(
            (name, n),
            ("system-node-critical", 2_000_001_000) | ("system-cluster-critical", 2_000_000_000)
        );
        if name.starts_with("system-") && !system {
            let why = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a known system priority class"
            );
            errors.push(FieldError::forbidden(&Path::new("metadata").child("name"), why));
        } else if !system && n > USER_LIMIT {
            let why = format!("maximum allowed value of a user defined priority is {USER_LIMIT}");
            errors.push(FieldError::forbidden(&Path::new("value"), why));
        }
        crate::rules::optional_one_of(
            &mut errors,
            o,
            "preemptionPolicy",
            &Path::default(),
            &["PreemptLowerPriority", "Never"],
        );
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _op: Operation) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if new.int_at(&["value"]).unwrap_or(0) != old.int_at(&["value"]).unwrap_or(0) {
            errors.push(FieldError::forbidden(&Path::new("value"), "may not be changed in an update."));
        }
        let field = "preemptionPolicy";
        crate::rules::immutable(&mut errors, new.get(field), old.get(field), &Path::new(field));
        errors
    }
}

//! LimitRange: bounds and defaults for the resources of the pods of a namespace.

use schema::{Map, Value};

use crate::defaults::{each, value};
use crate::kind::{Context, Kind, Operation, Strategy};
use crate::shape::{Check, Rule, rule};

/// `v1` LimitRange.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "LimitRange", "limitranges", "limitrange")
    .with_short_names(&["limits"])
    .with_strategy(&LimitRangeStrategy)
    .with_rules(RULES);

// k8s: pkg/apis/core/validation/validation.go ValidateLimitRange
const RULES: &[Rule] = &[rule("spec.limits[].type", Check::Required(""))];

struct LimitRangeStrategy;

impl Strategy for LimitRangeStrategy {
    // k8s: pkg/apis/core/v1/defaults.go SetDefaults_LimitRangeItem
    fn default_fields(&self, o: &mut Value) {
        each(o, &["spec", "limits"], |item| {
            if item.str_at(&["type"]) != "Container" {
                return;
            }
            fill(item, "default", "max");
            fill(item, "defaultRequest", "default");
            fill(item, "defaultRequest", "min");
        });
    }

    fn prepare_for_create(&self, _object: &mut Value, _cx: &Context) {}

    fn prepare_for_update(&self, _new: &mut Value, _old: &Value, _op: Operation, _cx: &Context) {}

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

/// Copies to `field` what `from` has and `field` has not.
fn fill(item: &mut Value, field: &'static str, from: &str) {
    let Some(source) = item.get(from).and_then(Value::as_map).cloned() else { return };
    value(item, field, Map::new());
    if let Some(target) = item.get_mut(field).and_then(Value::as_map_mut) {
        for (resource, v) in source.0 {
            if target.get(&resource).is_none() {
                target.set(resource, v);
            }
        }
    }
}

//! HorizontalPodAutoscaler of `autoscaling/v1`: stored as v2. v1 has one target, the CPU utilization; what v1
//! cannot say (other metrics, behavior, conditions) is not shown in it and is lost by a v1 update of the spec.
// k8s: pkg/apis/autoscaling/v1/conversion.go

use meta::FieldError;
use schema::{Map, Value};

use super::horizontal_pod_autoscaler as v2;
use crate::columns;
use crate::defaults::{value, with_map};
use crate::kind::{Cell, Column, Conversion, Kind, Storage, Strategy, WITH_STATUS};
use crate::rules::converted;

/// `autoscaling/v1` HorizontalPodAutoscaler.
pub static KIND: Kind = Kind::namespaced_kind(
    "autoscaling",
    "v1",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    "horizontalpodautoscaler",
)
.with_short_names(&["hpa"])
.with_categories(&["all"])
.with_subresources(WITH_STATUS)
.with_generation()
.with_columns(COLUMNS)
.with_strategy(&AutoscalerStrategy)
.with_storage(Storage::As(&CONVERSION));

/// The table of v2, read through the conversion; the place of each column is the same.
const COLUMNS: &[Column] = &[
    columns::NAME,
    through(1, |o, now| (v2::COLUMNS[1].cell)(&to_storage(o.clone()), now)),
    through(2, |o, now| (v2::COLUMNS[2].cell)(&to_storage(o.clone()), now)),
    through(3, |o, now| (v2::COLUMNS[3].cell)(&to_storage(o.clone()), now)),
    through(4, |o, now| (v2::COLUMNS[4].cell)(&to_storage(o.clone()), now)),
    through(5, |o, now| (v2::COLUMNS[5].cell)(&to_storage(o.clone()), now)),
    columns::AGE,
];

const fn through(i: usize, cell: fn(&Value, jiff::Timestamp) -> Cell) -> Column {
    let c = &v2::COLUMNS[i];
    Column {
        name: c.name,
        kind: c.kind,
        format: c.format,
        description: c.description,
        priority: c.priority,
        cell,
    }
}

/// The rules of v2, and the one default that v1 can say.
struct AutoscalerStrategy;

impl Strategy for AutoscalerStrategy {
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |s| value(s, "minReplicas", 1));
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        v2::AutoscalerStrategy.validate(&to_storage(o.clone()))
    }
}

static CONVERSION: Conversion = Conversion { kind: &v2::KIND, to_storage, from_storage };

fn is_cpu(metric: &Value) -> bool {
    metric.str_at(&["type"]) == "Resource" && metric.str_at(&["resource", "name"]) == "cpu"
}

fn to_storage(mut o: Value) -> Value {
    if let Some(target) = o.remove_at(&["spec", "targetCPUUtilizationPercentage"])
        && !target.is_null()
    {
        let mut metric = Value::Map(Map::new());
        metric.set_at(&["type"], "Resource");
        metric.set_at(&["resource", "name"], "cpu");
        metric.set_at(&["resource", "target", "type"], "Utilization");
        metric.set_at(&["resource", "target", "averageUtilization"], target);
        o.set_at(&["spec", "metrics"], vec![metric]);
    }
    if let Some(current) = o.remove_at(&["status", "currentCPUUtilizationPercentage"])
        && !current.is_null()
    {
        let mut metric = Value::Map(Map::new());
        metric.set_at(&["type"], "Resource");
        metric.set_at(&["resource", "name"], "cpu");
        metric.set_at(&["resource", "current", "averageUtilization"], current);
        o.set_at(&["status", "currentMetrics"], vec![metric]);
    }
    converted(o, "autoscaling/v2", |_| None)
}

fn from_storage(mut o: Value) -> Value {
    let cpu = |list: &[Value], path: &[&str]| list.iter().find(|m| is_cpu(m)).and_then(|m| m.int_at(path));
    let target = cpu(o.list_at(&["spec", "metrics"]), &["resource", "target", "averageUtilization"]);
    let current =
        cpu(o.list_at(&["status", "currentMetrics"]), &["resource", "current", "averageUtilization"]);
    for path in
        [["spec", "metrics"], ["spec", "behavior"], ["status", "currentMetrics"], ["status", "conditions"]]
    {
        o.remove_at(&path);
    }
    if let Some(n) = target {
        o.set_at(&["spec", "targetCPUUtilizationPercentage"], n);
    }
    if let Some(n) = current {
        o.set_at(&["status", "currentCPUUtilizationPercentage"], n);
    }
    converted(o, "autoscaling/v1", |_| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_target_goes_both_ways() {
        let mut o = Value::Map(Map::new());
        o.set_at(&["apiVersion"], "autoscaling/v1");
        o.set_at(&["spec", "maxReplicas"], 3);
        o.set_at(&["spec", "targetCPUUtilizationPercentage"], 80);
        o.set_at(&["status", "currentCPUUtilizationPercentage"], 40);
        let stored = to_storage(o.clone());
        assert_eq!(stored.str_at(&["apiVersion"]), "autoscaling/v2");
        assert_eq!(
            stored.list_at(&["spec", "metrics"])[0].int_at(&["resource", "target", "averageUtilization"]),
            Some(80)
        );
        assert_eq!(from_storage(stored), o);
    }
}

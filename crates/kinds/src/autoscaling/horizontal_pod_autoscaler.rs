//! HorizontalPodAutoscaler: a number of pods that follows metrics.

use meta::{FieldError, Path};
use schema::Value;

use crate::columns::{AGE, NAME, int, int_or_zero, text};
use crate::defaults::{value, with_map};
use crate::kind::{Cell, Column, Kind, Strategy, WITH_STATUS};
use crate::rules::required;

/// `autoscaling/v2` HorizontalPodAutoscaler.
pub static KIND: Kind = Kind::namespaced_kind(
    "autoscaling",
    "v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    "horizontalpodautoscaler",
)
.with_short_names(&["hpa"])
.with_categories(&["all"])
.with_subresources(WITH_STATUS)
.with_generation()
.with_columns(COLUMNS)
.with_strategy(&AutoscalerStrategy);

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    text("Reference", "What is scaled.", |o, _| {
        Cell::Text(format!(
            "{}/{}",
            o.str_at(&["spec", "scaleTargetRef", "kind"]),
            o.str_at(&["spec", "scaleTargetRef", "name"])
        ))
    }),
    text("Targets", "Current and wanted metrics.", |o, _| Cell::Text(targets(o))),
    text("MinPods", "Fewest pods.", |o, _| {
        Cell::Text(o.int_at(&["spec", "minReplicas"]).map_or_else(|| "<unset>".to_owned(), |n| n.to_string()))
    }),
    int("MaxPods", "Most pods.", |o, _| int_or_zero(o, &["spec", "maxReplicas"])),
    int("Replicas", "Pods now.", |o, _| int_or_zero(o, &["status", "currentReplicas"])),
    AGE,
];

/// Metrics with current and wanted value; beyond three, how many more.
// k8s: pkg/printers/internalversion/printers.go formatHPAMetrics
fn targets(o: &Value) -> String {
    let metrics = o.list_at(&["spec", "metrics"]);
    if metrics.is_empty() {
        return "<none>".to_owned();
    }
    let current = o.list_at(&["status", "currentMetrics"]);
    let all: Vec<String> = metrics.iter().enumerate().map(|(i, m)| target(m, current.get(i))).collect();
    if all.len() > 2 {
        return format!("{} + {} more...", all[..2].join(", "), all.len() - 2);
    }
    all.join(", ")
}

fn target(metric: &Value, current: Option<&Value>) -> String {
    let (field, name) = match metric.str_at(&["type"]) {
        "Resource" => ("resource", metric.str_at(&["resource", "name"])),
        "ContainerResource" => ("containerResource", metric.str_at(&["containerResource", "name"])),
        "Pods" => ("pods", ""),
        "Object" => ("object", ""),
        "External" => ("external", ""),
        _ => return "<unknown type>".to_owned(),
    };
    let prefix = if name.is_empty() { String::new() } else { format!("{name}: ") };
    let percent = metric.int_at(&[field, "target", "averageUtilization"]);
    let shown = |key: &str| current.and_then(|c| c.at(&[field, "current", key]));
    if let Some(want) = percent {
        let have = shown("averageUtilization").and_then(Value::as_int);
        let have = have.map_or_else(|| "<unknown>".to_owned(), |n| format!("{n}%"));
        return format!("{prefix}{have}/{want}%");
    }
    let average = metric.at(&[field, "target", "averageValue"]);
    let (key, suffix) = if average.is_some() { ("averageValue", " (avg)") } else { ("value", "") };
    let text = |v: Option<&Value>| v.and_then(Value::as_str).unwrap_or("<unknown>").to_owned();
    let suffix = if matches!(field, "pods" | "resource" | "containerResource") { "" } else { suffix };
    format!("{prefix}{}/{}{suffix}", text(shown(key)), text(metric.at(&[field, "target", key])))
}

/// Rules of the v2 form, which is the stored one.
pub(super) struct AutoscalerStrategy;

impl Strategy for AutoscalerStrategy {
    // k8s: pkg/apis/autoscaling/v2/defaults.go SetDefaults_HorizontalPodAutoscaler
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |s| {
            value(s, "minReplicas", 1);
            if s.list_at(&["metrics"]).is_empty() {
                let mut cpu = crate::defaults::empty_map();
                cpu.set_at(&["type"], "Resource");
                cpu.set_at(&["resource", "name"], "cpu");
                cpu.set_at(&["resource", "target", "type"], "Utilization");
                cpu.set_at(&["resource", "target", "averageUtilization"], 80);
                s.set_at(&["metrics"], vec![cpu]);
            }
        });
    }

    // k8s: pkg/apis/autoscaling/validation/validation.go validateHorizontalPodAutoscalerSpec
    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        let min = o.int_at(&["spec", "minReplicas"]);
        let max = o.int_at(&["spec", "maxReplicas"]).unwrap_or(0);
        if let Some(n) = min.filter(|n| *n < 1) {
            let why = "must be greater than or equal to 1";
            errors.push(FieldError::invalid(&path.child("minReplicas"), n.to_string(), why));
        }
        if max < 1 {
            let why = "must be greater than 0";
            errors.push(FieldError::invalid(&path.child("maxReplicas"), max.to_string(), why));
        }
        if min.is_some_and(|n| max < n) {
            let why = "must be greater than or equal to `minReplicas`";
            errors.push(FieldError::invalid(&path.child("maxReplicas"), max.to_string(), why));
        }
        let empty = crate::defaults::empty_map();
        let target = o.at(&["spec", "scaleTargetRef"]).unwrap_or(&empty);
        for field in ["kind", "name"] {
            required(&mut errors, target, field, &path.child("scaleTargetRef"));
        }
        errors
    }
}

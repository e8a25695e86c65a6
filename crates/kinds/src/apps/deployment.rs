//! Deployment: pods of one template, replaced gradually when the template changes.
// k8s: pkg/registry/apps/deployment/strategy.go, pkg/apis/apps/validation/validation.go

use meta::{FieldError, Path};
use schema::Value;

use super::rolling;
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, int_or_zero, text};
use crate::core::pod_spec::{self, defaults::pod_spec};
use crate::defaults::{value, with_map};
use crate::kind::{Cell, Column, Kind, Operation, Strategy, WITH_SCALE};
use crate::rules::{Errors, immutable, non_negative, same};

/// `apps/v1` Deployment.
pub static KIND: Kind = Kind::namespaced_kind("apps", "v1", "Deployment", "deployments", "deployment")
    .with_short_names(&["deploy"])
    .with_categories(&["all"])
    .with_subresources(WITH_SCALE)
    .with_columns(COLUMNS)
    .with_warnings(pod_spec::warnings::workload)
    .with_strategy(&DeploymentStrategy)
    .with_status_keeping(&["labels"])
    .with_generation();

const COLUMNS: &[Column] = &[
    NAME,
    text("Ready", "Ready pods and desired pods.", |o, _| {
        let n = |path: &[&str]| o.int_at(path).unwrap_or(0);
        Cell::Text(format!("{}/{}", n(&["status", "readyReplicas"]), n(&["spec", "replicas"])))
    }),
    text("Up-to-date", "Pods of the newest template.", |o, _| int_or_zero(o, &["status", "updatedReplicas"])),
    text("Available", "Pods ready for at least minReadySeconds.", |o, _| {
        int_or_zero(o, &["status", "availableReplicas"])
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

struct DeploymentStrategy;

impl Strategy for DeploymentStrategy {
    fn default_fields(&self, o: &mut Value) {
        with_map(o, "spec", |spec| {
            value(spec, "replicas", 1);
            with_map(spec, "strategy", |s| rolling::strategy(s, ("25%".into(), "25%".into())));
            value(spec, "revisionHistoryLimit", 10);
            value(spec, "progressDeadlineSeconds", 600);
            with_map(spec, "template", |t| with_map(t, "spec", pod_spec));
        });
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let empty = crate::defaults::empty_map();
        let spec = o.get("spec").unwrap_or(&empty);
        non_negative(&mut errors, spec, "replicas", &path);
        pod_spec::selector_and_template(&mut errors, spec, "deployment", &path);
        pod_spec::always_restarted(&mut errors, spec, "ReplicaSet", &path);
        strategy(&mut errors, spec, &path.child("strategy"));
        non_negative(&mut errors, spec, "minReadySeconds", &path);
        non_negative(&mut errors, spec, "revisionHistoryLimit", &path);
        non_negative(&mut errors, spec, "progressDeadlineSeconds", &path);
        if let Some(deadline) = spec.int_at(&["progressDeadlineSeconds"])
            && deadline <= spec.int_at(&["minReadySeconds"]).unwrap_or(0)
        {
            let why = "must be greater than minReadySeconds";
            let at = path.child("progressDeadlineSeconds");
            errors.push(FieldError::invalid(&at, deadline.to_string(), why));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        if op == Operation::UpdateStatus {
            return rolling::status_counts(new);
        }
        let mut errors = self.validate(new);
        let selector = &["spec", "selector"];
        immutable(&mut errors, new.at(selector), old.at(selector), &Path::new("spec").child("selector"));
        errors
    }

    /// Annotations count too: the controller copies them to its ReplicaSets.
    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        let annotations = &["metadata", "annotations"];
        new.get("spec") != old.get("spec") || !same(new.at(annotations), old.at(annotations))
    }
}

fn strategy(errors: &mut Errors, spec: &Value, path: &Path) {
    let rolling_update = spec.at(&["strategy", "rollingUpdate"]);
    let at = path.child("rollingUpdate");
    match spec.str_at(&["strategy", "type"]) {
        "Recreate" if rolling_update.is_some() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(&at, why));
        }
        "Recreate" => {}
        "RollingUpdate" => match rolling_update {
            Some(r) => rolling::validate(errors, r, &at),
            None => errors.push(FieldError::required(&at, "this should be defaulted and never be nil")),
        },
        other => {
            let supported = ["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(&path.child("type"), other, &supported));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{row, texts, yaml};

    const GOOD: &str = "{selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: 'i:1'}]}}}";

    fn defaulted(spec: &str) -> Value {
        let mut o = yaml(&format!("metadata: {{name: d}}\nspec: {spec}"));
        DeploymentStrategy.default_fields(&mut o);
        o
    }

    #[test]
    fn defaults() {
        let o = defaulted(GOOD);
        assert_eq!(o.int_at(&["spec", "replicas"]), Some(1));
        assert_eq!(o.str_at(&["spec", "strategy", "type"]), "RollingUpdate");
        assert_eq!(o.str_at(&["spec", "strategy", "rollingUpdate", "maxSurge"]), "25%");
        assert_eq!(o.int_at(&["spec", "revisionHistoryLimit"]), Some(10));
        assert_eq!(o.int_at(&["spec", "progressDeadlineSeconds"]), Some(600));
        assert_eq!(o.str_at(&["spec", "template", "spec", "restartPolicy"]), "Always");
        assert_eq!(o.at(&["spec", "template", "spec", "enableServiceLinks"]), None);
    }

    #[test]
    fn refuses() {
        let table: &[(&str, &[&str])] = &[
            (
                "{selector: {matchLabels: {a: b}}}",
                &[
                    "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
                    "spec.template.spec.containers: Required value",
                ],
            ),
            (
                "{selector: {matchExpressions: [{key: a, operator: Odd}]}}",
                &[
                    "spec.selector.matchExpressions[0].operator: Invalid value: \"Odd\": not a valid selector operator",
                    "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Odd\"}]}: invalid label selector",
                ],
            ),
            (GOOD, &[]),
            (
                "{selector: {matchLabels: {a: c}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}",
                &[
                    "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
                ],
            ),
            (
                "{template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}",
                &[
                    "spec.selector: Required value",
                    "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
                ],
            ),
            (
                "{replicas: -1, selector: {}, template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}",
                &[
                    "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                    "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
                    "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
                ],
            ),
            (
                "{strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}",
                &[
                    "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
                ],
            ),
            (
                "{strategy: {type: Slow}, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}",
                &[
                    "spec.strategy.type: Unsupported value: \"Slow\": supported values: \"Recreate\", \"RollingUpdate\"",
                ],
            ),
        ];
        for (spec, want) in table {
            assert_eq!(texts(&DeploymentStrategy.validate(&defaulted(spec))), *want, "{spec}");
        }
        assert_eq!(
            texts(&DeploymentStrategy.validate(&yaml("spec: {}")))[0],
            "spec.selector: Required value"
        );
    }

    #[test]
    fn selector_stays() {
        let old = defaulted(GOOD);
        let new = defaulted(&GOOD.replace("a: b", "a: d"));
        assert_eq!(
            texts(&DeploymentStrategy.validate_update(&new, &old, Operation::Update)),
            ["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"d\"}}: field is immutable"]
        );
    }

    #[test]
    fn rows() {
        let mut o = defaulted(GOOD);
        o.set_at(&["status", "readyReplicas"], 1);
        let cells: Vec<String> = row(&KIND, &o, "2026-01-01T00:00:00Z").into_iter().map(|c| c.1).collect();
        assert_eq!(cells, ["d", "1/1", "0", "0", "<unknown>", "c", "i:1", "a=b"]);
    }
}

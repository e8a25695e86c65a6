//! Pod: containers that run together on one node.
// k8s: pkg/registry/core/pod/strategy.go

use meta::{FieldError, Gvk, Path};
use schema::Value;

use super::pod_columns::COLUMNS;
use super::pod_qos::qos_class;
use super::pod_spec::app_armor;
use super::{pod_spec, pod_status};
use crate::kind::{Context, Kind, Operation, STATUS, Strategy, Subresource, keep_other_half};
use crate::rules::Errors;
use crate::selectable::{Selectable, field};

const SUBRESOURCES: &[Subresource] = &[
    Subresource {
        name: "attach",
        kind: Some(Gvk::new("", "v1", "PodAttachOptions")),
        verbs: &["create", "get"],
    },
    Subresource { name: "binding", kind: Some(Gvk::new("", "v1", "Binding")), verbs: &["create"] },
    Subresource { name: "ephemeralcontainers", kind: None, verbs: &["get", "patch", "update"] },
    Subresource { name: "eviction", kind: Some(Gvk::new("policy", "v1", "Eviction")), verbs: &["create"] },
    Subresource { name: "exec", kind: Some(Gvk::new("", "v1", "PodExecOptions")), verbs: &["create", "get"] },
    Subresource { name: "log", kind: None, verbs: &["get"] },
    Subresource {
        name: "portforward",
        kind: Some(Gvk::new("", "v1", "PodPortForwardOptions")),
        verbs: &["create", "get"],
    },
    Subresource {
        name: "proxy",
        kind: Some(Gvk::new("", "v1", "PodProxyOptions")),
        verbs: &["create", "delete", "get", "patch", "update"],
    },
    Subresource { name: "resize", kind: None, verbs: &["get", "patch", "update"] },
    STATUS,
];

/// `v1` Pod.
pub static KIND: Kind = Kind::namespaced_kind("", "v1", "Pod", "pods", "pod")
    .with_short_names(&["po"])
    .with_categories(&["all"])
    .with_subresources(SUBRESOURCES)
    .with_columns(COLUMNS)
    .with_selectable_fields(FIELDS)
    .with_warnings(pod_spec::warnings::pod)
    .with_strategy(&PodStrategy)
    .with_status_keeping(&["ownerReferences"])
    .with_generation()
    .returning_deleted();

// k8s: pkg/registry/core/pod/strategy.go ToSelectableFields
const FIELDS: &[Selectable] = &[
    field("spec.nodeName").indexed(),
    field("spec.restartPolicy"),
    field("spec.schedulerName"),
    field("spec.serviceAccountName"),
    field("spec.hostNetwork").or("false"),
    field("status.phase"),
    field("status.podIP"),
    // Taken, and never set: nothing is found by it.
    field("status.podIPs").at(""),
    field("status.nominatedNodeName"),
    // What old clients send.
    field("spec.host").at("spec.nodeName").indexed(),
];

/// Rules of pods.
pub struct PodStrategy;

impl Strategy for PodStrategy {
    fn default_fields(&self, o: &mut Value) {
        crate::defaults::with_map(o, "spec", pod_spec::defaults::pod);
        same_addresses(o);
    }

    fn prepare_for_create(&self, o: &mut Value, _cx: &Context) {
        let qos = qos_class(o);
        o.set_at(&["status"], crate::defaults::empty_map());
        o.set_at(&["status", "phase"], "Pending");
        o.set_at(&["status", "qosClass"], qos);
        if !o.list_at(&["spec", "schedulingGates"]).is_empty() {
            gated_condition(o);
        }
    }

    fn carry_over(&self, pod: &mut Value) -> Vec<String> {
        app_armor::carry_over(pod)
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value, op: Operation, _cx: &Context) {
        match op {
            Operation::UpdateSubresource("ephemeralcontainers") => {
                keep_all_but(new, old, |kept, new| take(kept, new, "ephemeralContainers"));
            }
            Operation::UpdateSubresource("resize") => keep_all_but(new, old, |kept, new| {
                take(kept, new, "containers");
                take(kept, new, "initContainers");
            }),
            _ => {
                keep_other_half(new, old, op);
                if let (Operation::UpdateStatus, Some(qos)) = (op, old.at(&["status", "qosClass"])) {
                    new.set_at(&["status", "qosClass"], qos.clone());
                }
            }
        }
    }

    fn validate(&self, o: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let empty = crate::defaults::empty_map();
        let spec = o.get("spec").unwrap_or(&empty);
        whole(&mut errors, o, spec);
        if !spec.list_at(&["ephemeralContainers"]).is_empty() {
            errors.push(FieldError::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
        }
        let gated = !spec.list_at(&["schedulingGates"]).is_empty();
        if gated && !spec.str_at(&["nodeName"]).is_empty() {
            let why = "cannot be set until all schedulingGates have been cleared";
            errors.push(FieldError::forbidden(&path.child("nodeName"), why));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, op: Operation) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if op == Operation::UpdateStatus {
            pod_spec::update::annotations(&mut errors, new, old);
            pod_status::validate_update(&mut errors, new, old);
            return errors;
        }
        let empty = crate::defaults::empty_map();
        whole(&mut errors, new, new.get("spec").unwrap_or(&empty));
        match op {
            Operation::Update => {
                pod_spec::update::annotations(&mut errors, new, old);
                errors.extend(pod_spec::update::pod(new, old));
            }
            Operation::UpdateSubresource("ephemeralcontainers") => {
                pod_spec::update::annotations(&mut errors, new, old);
                errors.extend(pod_spec::update::ephemeral_containers(new, old));
            }
            Operation::UpdateSubresource("resize") => errors.extend(pod_spec::resize::validate(new, old)),
            _ => {}
        }
        errors
    }

    // k8s: pkg/registry/core/pod/strategy.go CheckGracefulDelete
    fn grace_period_seconds(&self, o: &Value, requested: Option<i64>) -> Option<i64> {
        let own = o.int_at(&["spec", "terminationGracePeriodSeconds"]);
        let seconds = requested.or(own).unwrap_or(0);
        let unscheduled = o.str_at(&["spec", "nodeName"]).is_empty();
        if unscheduled || matches!(o.str_at(&["status", "phase"]), "Failed" | "Succeeded") {
            return Some(0);
        }
        Some(if seconds < 0 { 1 } else { seconds })
    }
}

/// The single address and the list of addresses say the same.
// k8s: pkg/apis/core/v1/conversion.go Convert_v1_PodStatus_To_core_PodStatus
fn same_addresses(o: &mut Value) {
    let single = o.str_at(&["status", "podIP"]).to_owned();
    let first = o.list_at(&["status", "podIPs"]).first().map(|a| a.str_at(&["ip"]).to_owned());
    match first {
        Some(first) if single.is_empty() => o.set_at(&["status", "podIP"], first),
        Some(first) if first == single => {}
        None if single.is_empty() => {}
        _ => {
            let mut only = crate::defaults::empty_map();
            only.set_at(&["ip"], single);
            o.set_at(&["status", "podIPs"], vec![only]);
        }
    }
}

/// What every pod must be, however it came to be so.
// k8s: pkg/apis/core/validation/validation.go validatePodMetadataAndSpec
fn whole(errors: &mut Errors, pod: &Value, spec: &Value) {
    let path = Path::new("spec");
    let annotations = pod.at(&["metadata", "annotations"]);
    pod_spec::pod_annotations(errors, annotations, spec, &Path::new("metadata").child("annotations"));
    pod_spec::validate(errors, spec, Some(pod), &path);
    pod_spec::only_for_pods(errors, spec, &path);
}

fn gated_condition(o: &mut Value) {
    let mut condition = crate::defaults::empty_map();
    condition.set_at(&["type"], "PodScheduled");
    condition.set_at(&["status"], "False");
    condition.set_at(&["reason"], "SchedulingGated");
    condition.set_at(&["message"], "Scheduling is blocked due to non-empty scheduling gates");
    o.set_at(&["status", "conditions"], vec![condition]);
}

/// Makes `new` the old object with the part that `part` takes over from the new spec.
fn keep_all_but(new: &mut Value, old: &Value, part: impl FnOnce(&mut Value, &Value)) {
    let mut kept = old.clone();
    if let Some(version) = new.at(&["metadata", "resourceVersion"]) {
        kept.set_at(&["metadata", "resourceVersion"], version.clone());
    }
    part(&mut kept, new);
    *new = kept;
}

fn take(kept: &mut Value, new: &Value, field: &'static str) {
    match new.at(&["spec", field]) {
        Some(v) => kept.set_at(&["spec", field], v.clone()),
        None => {
            kept.remove_at(&["spec", field]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    fn defaulted(text: &str) -> Value {
        let mut o = yaml(text);
        PodStrategy.default_fields(&mut o);
        o
    }

    #[test]
    fn refuses() {
        let table: &[(&str, &[&str])] = &[
            ("spec: {containers: [{name: c, image: i}]}", &[]),
            ("spec: {}", &["spec.containers: Required value"]),
            (
                "spec: {containers: [{name: c}, {name: c, image: ' i'}]}",
                &[
                    "spec.containers[0].image: Required value",
                    "spec.containers[1].name: Duplicate value: \"c\"",
                    "spec.containers[1].image: Invalid value: \" i\": must not have leading or trailing whitespace",
                ],
            ),
            (
                "spec: {containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /a}]}]}",
                &[
                    "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
                    "spec.containers[0].volumeMounts[1].name: Not found: \"v\"",
                    "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
                ],
            ),
            (
                "spec: {containers: [{name: c, image: i, resources: {limits: {cpu: 1}, requests: {cpu: 2, memory: x}}}]}",
                &[
                    "spec.containers[0].resources.requests[memory]: Invalid value: \"x\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                    "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
                ],
            ),
            (
                "spec: {restartPolicy: Sometimes, containers: [{name: c, image: i, ports: [{containerPort: 0}, {containerPort: 70000}], livenessProbe: {}}]}",
                &[
                    "spec.containers[0].ports[0].containerPort: Required value",
                    "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                    "spec.containers[0].livenessProbe: Required value: must specify a handler type",
                    "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
                ],
            ),
            (
                "spec: {containers: [{name: c, image: i, env: [{name: ''}, {name: A, valueFrom: {}}]}], volumes: [{name: v, emptyDir: {}, hostPath: {path: ''}}, {name: v, secret: {}}]}",
                &[
                    "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
                    "spec.volumes[1].secret.secretName: Required value",
                    "spec.containers[0].env[0].name: Required value",
                    "spec.containers[0].env[1].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
                ],
            ),
            (
                "spec: {containers: [{name: c, image: i}], tolerations: [{operator: Equal}, {key: a, effect: Never}]}",
                &[
                    "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
                    "spec.tolerations[1].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                ],
            ),
        ];
        for (text, want) in table {
            assert_eq!(texts(&PodStrategy.validate(&defaulted(text))), *want, "{text}");
        }
    }

    #[test]
    fn updates() {
        let old =
            defaulted("spec: {containers: [{name: c, image: a}], tolerations: [{key: k, operator: Exists}]}");
        let check =
            |text: &str| texts(&PodStrategy.validate_update(&defaulted(text), &old, Operation::Update));
        let none: Vec<String> = Vec::new();
        assert_eq!(
            check(
                "spec: {containers: [{name: c, image: b, imagePullPolicy: Always}], activeDeadlineSeconds: 5, tolerations: [{key: k, operator: Exists, tolerationSeconds: 1, effect: NoExecute}]}"
            ),
            [
                "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
            ]
        );
        assert_eq!(
            check(
                "spec: {containers: [{name: c, image: b}], activeDeadlineSeconds: 5, tolerations: [{key: k, operator: Exists}, {key: m}]}"
            ),
            none
        );
        assert_eq!(
            check("spec: {containers: [{name: c, image: a}, {name: d, image: a}]}"),
            ["spec.containers: Forbidden: pod updates may not add or remove containers"]
        );
        let e = check(
            "spec: {nodeName: x, containers: [{name: c, image: a}], tolerations: [{key: k, operator: Exists}]}",
        );
        assert!(e[0].starts_with("spec: Forbidden: pod updates may not change fields other than"), "{e:?}");
        assert!(e[0].ends_with("\n  spec.nodeName"), "{e:?}");
    }

    #[test]
    fn grace() {
        let scheduled = yaml("spec: {nodeName: x, terminationGracePeriodSeconds: 30}");
        assert_eq!(PodStrategy.grace_period_seconds(&scheduled, None), Some(30));
        assert_eq!(PodStrategy.grace_period_seconds(&scheduled, Some(0)), Some(0));
        assert_eq!(PodStrategy.grace_period_seconds(&yaml("spec: {}"), Some(9)), Some(0));
    }
}

//! What an update through `resize` may change: cpu and memory of containers and sidecars, and never so that the
//! pod's quality of service changes.
// k8s: pkg/apis/core/validation/validation.go ValidatePodResize

use meta::field::quoted;
use meta::{FieldError, Path};
use schema::Value;

use super::MIRROR;
use super::update::differences;
use crate::core::pod_qos::qos_class;
use crate::rules::Errors;

/// Everything that a resize may not do, besides what no pod may have.
#[must_use]
pub fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    let refuse = |why: &str| vec![FieldError::forbidden(&Path::new("[]"), why)];
    if old.at(&["metadata", "annotations", MIRROR]).is_some() {
        return refuse("static pods cannot be resized");
    }
    if old.str_at(&["spec", "os", "name"]) == "windows" {
        return refuse("windows pods cannot be resized");
    }
    let mut errors = Errors::new();
    let path = Path::new("spec");
    if qos_class(old) != qos_class(new) {
        let why = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(&path, quoted(new.str_at(&["status", "qosClass"])), why));
    }
    for list in ["initContainers", "containers"] {
        let (after, before) = (new.list_at(&["spec", list]), old.list_at(&["spec", list]));
        for (i, (a, b)) in after.iter().zip(before).enumerate() {
            if list == "containers" || b.str_at(&["restartPolicy"]) == "Always" {
                container(&mut errors, a, b, &path.child(list).index(i).child("resources"));
            }
        }
    }
    only_cpu_and_memory(&mut errors, new, old, &path);
    errors
}

fn container(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    for field in ["requests", "limits"] {
        let before = old.at(&["resources", field]).and_then(Value::as_map);
        let removed =
            before.is_some_and(|m| m.iter().any(|(r, _)| new.at(&["resources", field, r]).is_none()));
        if removed {
            let why = format!("resource {field} cannot be removed");
            errors.push(FieldError::forbidden(&path.child(field), why));
        }
    }
}

fn only_cpu_and_memory(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let (Some(after), Some(before)) = (new.get("spec"), old.get("spec")) else { return };
    let sidecar = |c: &Value| c.str_at(&["restartPolicy"]) == "Always";
    for list in ["containers", "initContainers"] {
        for (a, b) in after.list_at(&[list]).iter().zip(before.list_at(&[list])) {
            let resizable = list == "containers" || sidecar(a);
            let same = if resizable { fixed(a) == fixed(b) } else { a == b };
            let why = match (list, resizable) {
                ("containers", _) => "only cpu and memory resources are mutable",
                (_, true) => "only cpu and memory resources for sidecar containers are mutable",
                (_, false) => "resources for non-sidecar init containers are immutable",
            };
            if !same {
                errors.push(FieldError::forbidden(path, why));
            }
        }
    }
    let rest = |spec: &Value| {
        let mut spec = spec.clone();
        for list in ["containers", "initContainers"] {
            spec.remove_at(&[list]);
        }
        spec
    };
    if errors.is_empty() && !differences(&rest(after), &rest(before)).is_empty() {
        errors.push(FieldError::forbidden(path, "only cpu and memory resources are mutable"));
    }
}

/// A container without what a resize may change.
fn fixed(container: &Value) -> Value {
    let mut c = container.clone();
    for field in ["requests", "limits"] {
        for resource in ["cpu", "memory"] {
            c.remove_at(&["resources", field, resource]);
        }
        drop_empty(&mut c, &["resources", field]);
    }
    // A container may get its first requests and limits.
    drop_empty(&mut c, &["resources"]);
    c
}

fn drop_empty(object: &mut Value, path: &[&str]) {
    if object.at(path).and_then(Value::as_map).is_some_and(schema::Map::is_empty) {
        object.remove_at(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{texts, yaml};

    #[test]
    fn first_requests_and_limits() {
        let pod = |c: &str| {
            let first = "{name: c, image: i, resources: {requests: {cpu: 100m}}}";
            yaml(&format!("spec: {{containers: [{first}, {{name: d, image: i{c}}}]}}"))
        };
        let new = pod(", resources: {requests: {cpu: 1m}, limits: {memory: 1Gi}}");
        for old in ["", ", resources: {}", ", resources: {requests: {}}"] {
            assert_eq!(texts(&validate(&new, &pod(old))), [""; 0], "{old}");
        }
    }

    #[test]
    fn resizes() {
        let pod = |c: &str| yaml(&format!("spec: {{nodeName: n, containers: [{{name: c, image: i, {c}}}]}}"));
        let old = pod("resources: {requests: {cpu: 100m, memory: 1Mi}}");
        let table: &[(&str, &[&str])] = &[
            ("resources: {requests: {cpu: 200m, memory: 2Mi}}", &[]),
            ("resources: {requests: {cpu: 200m, memory: 2Mi}, limits: {cpu: 1}}", &[]),
            (
                "resources: {requests: {cpu: 200m}}",
                &["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
            ),
            (
                "resources: {requests: {cpu: 100m, memory: 1Mi, ephemeral-storage: 1}}",
                &["spec: Forbidden: only cpu and memory resources are mutable"],
            ),
            (
                "resources: {requests: {cpu: 1, memory: 1Mi}, limits: {cpu: 1, memory: 1Mi}}",
                &["spec: Invalid value: \"\": Pod QOS Class may not change as a result of resizing"],
            ),
        ];
        for (c, want) in table {
            assert_eq!(texts(&validate(&pod(c), &old)), *want, "{c}");
        }
    }
}

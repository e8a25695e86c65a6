//! The `scale` subresource: the number of pods of a workload, in the same form for every workload.
// k8s: pkg/registry/apps/deployment/storage/storage.go scaleFromDeployment

use meta::{FieldError, Path};
use schema::Value;

use crate::columns::labels_text;
use crate::defaults::empty_map;
use crate::rules::selector_of;

/// The Scale (`autoscaling/v1`) of a Deployment, ReplicaSet, StatefulSet or ReplicationController.
#[must_use]
pub fn get(object: &Value) -> Value {
    let mut scale = empty_map();
    scale.set_at(&["kind"], "Scale");
    scale.set_at(&["apiVersion"], "autoscaling/v1");
    scale.set_at(&["metadata"], empty_map());
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(v) = object.at(&["metadata", field]) {
            scale.set_at(&["metadata", field], v.clone());
        }
    }
    scale.set_at(&["spec"], empty_map());
    if let Some(n) = object.int_at(&["spec", "replicas"]) {
        scale.set_at(&["spec", "replicas"], n);
    }
    scale.set_at(&["status", "replicas"], object.int_at(&["status", "replicas"]).unwrap_or(0));
    let selector = selector_text(object);
    if !selector.is_empty() {
        scale.set_at(&["status", "selector"], selector);
    }
    scale
}

fn selector_text(object: &Value) -> String {
    let selector = object.at(&["spec", "selector"]);
    if object.str_at(&["kind"]) == "ReplicationController" {
        let text = labels_text(selector);
        return if text == "<none>" { String::new() } else { text };
    }
    selector_of(selector).map(|s| s.to_string()).unwrap_or_default()
}

/// What is wrong with a Scale that a user sends.
// k8s: pkg/apis/autoscaling/validation/validation.go ValidateScale
#[must_use]
pub fn validate(scale: &Value) -> Vec<FieldError> {
    let n = scale.int_at(&["spec", "replicas"]).unwrap_or(0);
    if n >= 0 {
        return Vec::new();
    }
    let at = Path::new("spec").child("replicas");
    vec![FieldError::invalid(&at, n.to_string(), "must be greater than or equal to 0")]
}

/// Puts the number of a Scale into the workload; and its resource version, as the precondition it is.
pub fn put(object: &mut Value, scale: &Value) {
    object.set_at(&["spec", "replicas"], scale.int_at(&["spec", "replicas"]).unwrap_or(0));
    if let Some(version) = scale.at(&["metadata", "resourceVersion"]) {
        object.set_at(&["metadata", "resourceVersion"], version.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::yaml;

    #[test]
    fn there_and_back() {
        let mut o = yaml(
            "kind: Deployment\nmetadata: {name: a, namespace: b, uid: u, labels: {l: m}}\nspec: {replicas: 3, selector: {matchLabels: {x: z}}}\nstatus: {replicas: 2}",
        );
        let mut s = get(&o);
        assert_eq!(
            s,
            yaml(
                "kind: Scale\napiVersion: autoscaling/v1\nmetadata: {name: a, namespace: b, uid: u}\nspec: {replicas: 3}\nstatus: {replicas: 2, selector: x=z}"
            )
        );
        s.set_at(&["spec", "replicas"], 5);
        put(&mut o, &s);
        assert_eq!(o.int_at(&["spec", "replicas"]), Some(5));
        let rc = yaml("kind: ReplicationController\nspec: {replicas: 1, selector: {x: z}}");
        assert_eq!(get(&rc).str_at(&["status", "selector"]), "x=z");
    }
}

//! Conditions of a CustomResourceDefinition.
// k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/apihelpers/helpers.go SetCRDCondition

use serde_json::{Value as Json, json};

/// Sets a condition of an object; the time of its last transition stays where its status does.
pub fn set(object: &mut Json, kind: &str, status: bool, reason: &str, message: &str, now: &str) {
    let status = if status { "True" } else { "False" };
    let mut all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().position(|c| c["type"] == kind);
    let kept =
        found.filter(|at| all[*at]["status"] == status).map(|at| all[at]["lastTransitionTime"].clone());
    let condition = json!({
        "type": kind, "status": status, "lastTransitionTime": kept.unwrap_or_else(|| now.into()),
        "reason": reason, "message": message,
    });
    match found {
        Some(at) => all[at] = condition,
        None => all.push(condition),
    }
    object["status"]["conditions"] = all.into();
}

/// Whether a condition of an object is true.
#[must_use]
pub fn is_true(object: &Json, kind: &str) -> bool {
    let all = object["status"]["conditions"].as_array();
    all.into_iter().flatten().any(|c| c["type"] == kind && c["status"] == "True")
}

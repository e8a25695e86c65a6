//! What an update may change in a pod. Almost nothing: a pod is replaced, not edited.
// k8s: pkg/apis/core/validation/validation.go ValidatePodUpdate, ValidatePodEphemeralContainersUpdate, ValidatePodResize

use meta::field::quoted;
use meta::{FieldError, Path};
use schema::Value;

use super::{container, tolerations};
use crate::rules::{Errors, same};

const ONLY: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Everything that a plain update may not do.
#[must_use]
pub fn pod(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    for (list, word) in [("containers", "containers"), ("initContainers", "initContainers")] {
        let (after, before) = (new.list_at(&["spec", list]), old.list_at(&["spec", list]));
        if after.len() != before.len() {
            let what = if word == "containers" { "containers" } else { "initContainers" };
            let why = format!("pod updates may not add or remove {what}");
            errors.push(FieldError::forbidden(&path.child(list), why));
            return errors;
        }
        for (i, c) in after.iter().enumerate() {
            container::image(&mut errors, c, &path.child(list).index(i));
        }
    }
    deadline(&mut errors, new, old, &path);
    added_tolerations(&mut errors, new, old, &path);
    removed_gates(&mut errors, new, old, &path);
    only_allowed(&mut errors, new, old, &path);
    errors
}

fn deadline(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let at = path.child("activeDeadlineSeconds");
    let field = &["spec", "activeDeadlineSeconds"];
    match (new.int_at(field), old.int_at(field)) {
        (Some(n), _) if !(0..=i64::from(i32::MAX)).contains(&n) => {
            let why = meta::name::inclusive_range(0, i64::from(i32::MAX));
            errors.push(FieldError::invalid(&at, n.to_string(), why));
        }
        (Some(n), Some(o)) if n > o => {
            let why = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(&at, n.to_string(), why));
        }
        (None, Some(_)) => {
            let why = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(&at, "null", why));
        }
        _ => {}
    }
}

/// Old tolerations stay, but for their `tolerationSeconds`.
fn added_tolerations(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let at = path.child("tolerations");
    let bare = |t: &Value| {
        let mut t = t.clone();
        t.remove_at(&["tolerationSeconds"]);
        t
    };
    let after: Vec<Value> = new.list_at(&["spec", "tolerations"]).iter().map(bare).collect();
    let kept = old.list_at(&["spec", "tolerations"]).iter().all(|t| after.contains(&bare(t)));
    if !kept {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(&at, why));
    }
    tolerations(errors, new.list_at(&["spec", "tolerations"]), &at);
}

fn removed_gates(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let before = old.list_at(&["spec", "schedulingGates"]);
    for (i, g) in new.list_at(&["spec", "schedulingGates"]).iter().enumerate() {
        if !before.contains(g) {
            let why =
                format!("only deletion is allowed, but found new scheduling gate '{}'", g.str_at(&["name"]));
            errors.push(FieldError::forbidden(&path.child("schedulingGates").index(i), why));
        }
    }
}

fn only_allowed(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let (Some(before), Some(mut after)) = (old.get("spec"), new.get("spec").cloned()) else { return };
    let gated = !before.list_at(&["schedulingGates"]).is_empty();
    for list in ["containers", "initContainers"] {
        let images: Vec<Value> =
            before.list_at(&[list]).iter().map(|c| c.get("image").cloned().unwrap_or_default()).collect();
        crate::defaults::each(&mut after, &[list], |c| {
            // Lists are of equal length here; by position, as upstream compares.
            c.set_at(&["image"], Value::Null);
        });
        if let Some(l) = after.at_mut(&[list]).and_then(Value::as_list_mut) {
            for (c, image) in l.iter_mut().zip(images) {
                c.set_at(&["image"], image);
            }
        }
    }
    let grace = "terminationGracePeriodSeconds";
    let was_negative = before.int_at(&[grace]).is_some_and(|n| n < 0);
    let mut restored = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    if was_negative && after.int_at(&[grace]) == Some(1) {
        restored.push(grace);
    }
    if gated {
        restored.extend(["nodeSelector", "affinity"]);
    }
    for field in restored {
        crate::kind::carry(&mut after, before, field);
    }
    let changed = differences(&after, before);
    if !changed.is_empty() {
        errors.push(FieldError::forbidden(path, format!("{ONLY}\n{changed}")));
    }
}

/// The fields that differ, a line each.
fn differences(after: &Value, before: &Value) -> String {
    let mut fields: Vec<&str> = Vec::new();
    for v in [after, before] {
        fields.extend(v.as_map().into_iter().flat_map(|m| m.iter()).map(|(k, _)| k));
    }
    fields.sort_unstable();
    fields.dedup();
    let changed = fields.into_iter().filter(|f| !same(after.get(f), before.get(f)));
    changed.map(|f| format!("  spec.{f}")).collect::<Vec<_>>().join("\n")
}

/// What an update through `ephemeralcontainers` may not do: change or remove one that is there.
#[must_use]
pub fn ephemeral_containers(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let path = Path::new("spec").child("ephemeralContainers");
    let after = new.list_at(&["spec", "ephemeralContainers"]);
    for c in old.list_at(&["spec", "ephemeralContainers"]) {
        let name = c.str_at(&["name"]);
        match after.iter().position(|n| n.str_at(&["name"]) == name) {
            None => {
                let why = format!("existing ephemeral containers {} may not be removed\n", quoted(name));
                errors.push(FieldError::forbidden(&path, why));
            }
            Some(i) if after[i] != *c => {
                let why = format!("existing ephemeral containers {} may not be changed\n", quoted(name));
                errors.push(FieldError::forbidden(&path.index(i), why));
            }
            Some(_) => {}
        }
    }
    errors
}

/// What an update through `resize` may not do: change anything but the resources of containers.
#[must_use]
pub fn resize(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let (Some(after), Some(before)) = (new.get("spec"), old.get("spec")) else { return errors };
    let without = |spec: &Value| {
        let mut spec = spec.clone();
        for list in ["containers", "initContainers"] {
            crate::defaults::each(&mut spec, &[list], |c| {
                for field in ["requests", "limits"] {
                    for resource in ["cpu", "memory"] {
                        c.remove_at(&["resources", field, resource]);
                    }
                }
            });
        }
        spec
    };
    let changed = differences(&without(after), &without(before));
    if !changed.is_empty() {
        let why = format!("only cpu and memory resources are mutable\n{changed}");
        errors.push(FieldError::forbidden(&Path::new("spec"), why));
    }
    errors
}

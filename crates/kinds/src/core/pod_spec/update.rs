//! What an update may change in a pod. Almost nothing: a pod is replaced, not edited.
// k8s: pkg/apis/core/validation/validation.go ValidatePodUpdate, ValidatePodEphemeralContainersUpdate

use meta::field::quoted;
use meta::{FieldError, Path};
use schema::Value;

use super::{container, tolerations};
use crate::rules::{Errors, printed, same};

const ONLY: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Everything that a plain update may not do, besides what no pod may have.
#[must_use]
pub fn pod(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    for list in ["containers", "initContainers"] {
        let (after, before) = (new.list_at(&["spec", list]), old.list_at(&["spec", list]));
        if after.len() != before.len() {
            let why = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(list), why));
            return errors;
        }
        for (i, c) in after.iter().enumerate() {
            let at = path.child(list).index(i);
            crate::rules::required(&mut errors, c, "image", &at);
            container::blanks(&mut errors, c, &at);
        }
    }
    if !deadline(&mut errors, new, old, &path) {
        return errors;
    }
    added_tolerations(&mut errors, new, old, &path);
    removed_gates(&mut errors, new, old, &path);
    only_allowed(&mut errors, new, old, &path);
    errors
}

/// What annotations an update may not change.
// k8s: pkg/apis/core/validation/validation.go ValidatePodSpecificAnnotationUpdates
pub fn annotations(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("metadata").child("annotations").key(super::MIRROR);
    let get = |o: &Value| o.at(&["metadata", "annotations", super::MIRROR]).cloned();
    match (get(new), get(old)) {
        (Some(_), None) => errors.push(FieldError::forbidden(&path, "may not add mirror pod annotation")),
        (after, before) if before.is_some() && after != before => {
            errors.push(FieldError::forbidden(&path, "may not remove or update mirror pod annotation"));
        }
        _ => {}
    }
}

/// Whether the rest is to be looked at.
fn deadline(errors: &mut Errors, new: &Value, old: &Value, path: &Path) -> bool {
    let at = path.child("activeDeadlineSeconds");
    let field = &["spec", "activeDeadlineSeconds"];
    match (new.int_at(field), old.int_at(field)) {
        (Some(n), _) if !(0..=i64::from(i32::MAX)).contains(&n) => {
            let why = meta::name::inclusive_range(0, i64::from(i32::MAX));
            errors.push(FieldError::invalid(&at, n.to_string(), why));
            return false;
        }
        (Some(n), Some(o)) if n > o => {
            let why = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(&at, n.to_string(), why));
            return false;
        }
        (None, Some(_)) => {
            let why = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(&at, "null", why));
        }
        _ => {}
    }
    true
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
        return;
    }
    tolerations(errors, new.list_at(&["spec", "tolerations"]), &at);
}

fn removed_gates(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let before = old.list_at(&["spec", "schedulingGates"]);
    for (i, g) in new.list_at(&["spec", "schedulingGates"]).iter().enumerate() {
        if !before.contains(g) {
            let why =
                format!("only deletion is allowed, but found new scheduling gate '{}'", g.str_at(&["name"]));
            let at = path.child("schedulingGates").index(i).child("name");
            errors.push(FieldError::forbidden(&at, why));
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
        added_node_selector(errors, &after, before, &path.child("nodeSelector"));
        restored.push("nodeSelector");
        let at = path.child("affinity").child("nodeAffinity");
        added_node_affinity(errors, &after, before, &at);
        keep_node_affinity(&mut after, before);
    }
    for field in restored {
        crate::kind::carry(&mut after, before, field);
    }
    let changed = differences(&after, before);
    if !changed.is_empty() {
        errors.push(FieldError::forbidden(path, format!("{ONLY}\n{changed}")));
    }
}

/// A gated pod may get further labels of nodes to look for.
// k8s: pkg/apis/core/validation/validation.go validateNodeSelectorMutation
fn added_node_selector(errors: &mut Errors, after: &Value, before: &Value, path: &Path) {
    let kept = before
        .get("nodeSelector")
        .and_then(Value::as_map)
        .is_none_or(|m| m.iter().all(|(k, v)| after.at(&["nodeSelector", k]) == Some(v)));
    if !kept {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(path, printed(after.get("nodeSelector")), why));
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// A gated pod may get further requirements of nodes in the terms it has.
// k8s: pkg/apis/core/validation/validation.go validateNodeAffinityMutation
fn added_node_affinity(errors: &mut Errors, after: &Value, before: &Value, path: &Path) {
    let terms_at = &["affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms"];
    let (old, new) = (before.list_at(terms_at), after.list_at(terms_at));
    if old.is_empty() {
        return;
    }
    let path = path.child(REQUIRED).child("nodeSelectorTerms");
    if old.len() != new.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(&path, printed(after.at(terms_at)), why));
        return;
    }
    for (i, (old, new)) in old.iter().zip(new).enumerate() {
        let lists = ["matchExpressions", "matchFields"];
        let was_empty = lists.iter().all(|l| old.list_at(&[l]).is_empty());
        let only_added = lists.iter().all(|l| {
            let (old, new) = (old.list_at(&[l]), new.list_at(&[l]));
            if was_empty { new.is_empty() } else { new.starts_with(old) }
        });
        if !only_added {
            let why = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(&path.index(i), printed(Some(new)), why));
        }
    }
}

fn keep_node_affinity(after: &mut Value, before: &Value) {
    match before.at(&["affinity", "nodeAffinity"]) {
        Some(old) => after.set_at(&["affinity", "nodeAffinity"], old.clone()),
        None => {
            after.remove_at(&["affinity", "nodeAffinity"]);
            let nothing_left =
                after.get("affinity").and_then(Value::as_map).is_some_and(schema::Map::is_empty);
            if nothing_left {
                after.remove_at(&["affinity"]);
            }
        }
    }
}

/// The fields that differ, a line each.
pub(super) fn differences(after: &Value, before: &Value) -> String {
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
    if old.at(&["metadata", "annotations", super::MIRROR]).is_some() {
        let why = "static pods do not support ephemeral containers";
        return vec![FieldError::forbidden(&Path::new("[]"), why)];
    }
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
                errors.push(FieldError::forbidden(&path, why));
            }
            Some(_) => {}
        }
    }
    errors
}

//! Rolling updates: defaults and rules that workloads share.
// k8s: pkg/apis/apps/validation/validation.go ValidateRollingUpdateDeployment, ValidatePositiveIntOrPercent

use meta::{FieldError, Path, name};
use schema::Value;

use crate::defaults::{text, value, with_map};
use crate::rules::{Errors, non_negative, printed};

/// Defaults of a strategy: `RollingUpdate` with these `maxUnavailable` and `maxSurge`.
pub fn strategy(s: &mut Value, (max_unavailable, max_surge): (Value, Value)) {
    text(s, "type", "RollingUpdate");
    if s.str_at(&["type"]) == "RollingUpdate" {
        with_map(s, "rollingUpdate", |r| {
            value(r, "maxUnavailable", max_unavailable);
            value(r, "maxSurge", max_surge);
        });
    }
}

/// A count that is not negative, or a percentage.
pub fn count_or_percent(errors: &mut Errors, v: Option<&Value>, path: &Path) {
    match v {
        Some(Value::Str(s)) if !name::percent(s).is_empty() => {
            let why = "must be an integer or percentage (e.g '5%%')";
            errors.push(FieldError::invalid(path, printed(v), why));
        }
        Some(Value::Int(n)) if *n < 0 => {
            let why = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(path, n.to_string(), why));
        }
        _ => {}
    }
}

/// Whether it is nothing, as a number or a percentage.
#[must_use]
pub fn is_zero(v: Option<&Value>) -> bool {
    match v {
        None => true,
        Some(Value::Int(n)) => *n == 0,
        Some(Value::Str(s)) => s.trim_end_matches('%').bytes().all(|c| c == b'0'),
        Some(_) => false,
    }
}

/// A percentage of at most 100.
pub fn not_over_hundred(errors: &mut Errors, v: Option<&Value>, path: &Path) {
    let percent = v.and_then(Value::as_str).and_then(|s| s.strip_suffix('%')?.parse::<i64>().ok());
    if percent.is_some_and(|p| p > 100) {
        errors.push(FieldError::invalid(path, printed(v), "must not be greater than 100%"));
    }
}

/// `rollingUpdate` of a Deployment.
pub fn validate(errors: &mut Errors, r: &Value, path: &Path) {
    let (unavailable, surge) = (r.get("maxUnavailable"), r.get("maxSurge"));
    count_or_percent(errors, unavailable, &path.child("maxUnavailable"));
    count_or_percent(errors, surge, &path.child("maxSurge"));
    if is_zero(unavailable) && is_zero(surge) {
        let why = "may not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(&path.child("maxUnavailable"), printed(unavailable), why));
    }
    not_over_hundred(errors, unavailable, &path.child("maxUnavailable"));
}

/// `rollingUpdate` of a DaemonSet: exactly one of the two counts.
pub fn validate_exclusive(errors: &mut Errors, r: &Value, path: &Path) {
    let (unavailable, surge) = (r.get("maxUnavailable"), r.get("maxSurge"));
    count_or_percent(errors, unavailable, &path.child("maxUnavailable"));
    count_or_percent(errors, surge, &path.child("maxSurge"));
    match (is_zero(unavailable), is_zero(surge)) {
        (false, false) => {
            let why = "may not be set when maxUnavailable is non-zero";
            errors.push(FieldError::invalid(&path.child("maxSurge"), printed(surge), why));
        }
        (true, true) => {
            errors
                .push(FieldError::required(&path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
        }
        _ => {}
    }
    not_over_hundred(errors, unavailable, &path.child("maxUnavailable"));
    not_over_hundred(errors, surge, &path.child("maxSurge"));
}

/// Counts in `status` are not negative, and parts are not larger than the whole.
// k8s: pkg/apis/apps/validation/validation.go ValidateDeploymentStatus, ValidateReplicaSetStatus
#[must_use]
pub fn status_counts(o: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let path = Path::new("status");
    let Some(status) = o.get("status") else { return errors };
    let parts = ["updatedReplicas", "readyReplicas", "fullyLabeledReplicas", "availableReplicas"];
    for field in ["replicas", "observedGeneration", "terminatingReplicas"].iter().chain(&parts) {
        non_negative(&mut errors, status, field, &path);
    }
    let n = |field: &str| status.int_at(&[field]).unwrap_or(0);
    for field in parts.iter().filter(|f| n(f) > n("replicas")) {
        let why = "cannot be greater than status.replicas";
        errors.push(FieldError::invalid(&path.child(field), n(field).to_string(), why));
    }
    if n("availableReplicas") > n("readyReplicas") {
        let why = "cannot be greater than readyReplicas";
        let at = path.child("availableReplicas");
        errors.push(FieldError::invalid(&at, n("availableReplicas").to_string(), why));
    }
    errors
}

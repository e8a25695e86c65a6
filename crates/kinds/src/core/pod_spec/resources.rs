//! Resources of containers: names, amounts, requests within limits.
// k8s: pkg/apis/core/validation/validation.go ValidateContainerResourceRequirements

use meta::field::quoted;
use meta::{FieldError, Path, Quantity, name};
use schema::Value;

use crate::rules::Errors;

const STANDARD: &[&str] = &["cpu", "memory", "ephemeral-storage"];
const NON_NEGATIVE: &str = "must be greater than or equal to 0";

/// Reads a quantity, which JSON may hold as text or as a number.
#[must_use]
pub fn quantity(v: &Value) -> Option<Quantity> {
    match v {
        Value::Str(s) => s.parse().ok(),
        Value::Int(n) => n.to_string().parse().ok(),
        Value::Float(x) => x.to_string().parse().ok(),
        _ => None,
    }
}

fn is_huge_page(resource: &str) -> bool {
    resource.starts_with("hugepages-")
}

/// Resources outside `kubernetes.io` with a domain: whole numbers, limit and request alike.
fn is_extended(resource: &str) -> bool {
    resource.contains('/') && !resource.contains("kubernetes.io/") && !resource.starts_with("requests.")
}

fn check_name(errors: &mut Errors, resource: &str, path: &Path) {
    let complaints = name::qualified_name(resource);
    if !complaints.is_empty() {
        crate::rules::each(errors, path, resource, complaints);
    } else if !resource.contains('/') && !STANDARD.contains(&resource) && !is_huge_page(resource) {
        for why in [
            "must be a standard resource type or fully qualified",
            "must be a standard resource for containers",
        ] {
            errors.push(FieldError::invalid(path, quoted(resource), why));
        }
    }
}

fn check_amounts(errors: &mut Errors, list: Option<&Value>, path: &Path) {
    for (resource, v) in list.and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
        let at = path.key(resource);
        check_name(errors, resource, &at);
        let Some(q) = quantity(v) else {
            errors.push(FieldError::invalid(&at, crate::rules::printed(Some(v)), QUANTITY_FORM));
            continue;
        };
        if q.sign() < 0 {
            errors.push(FieldError::invalid(&at, quoted(&q.to_string()), NON_NEGATIVE));
        }
        if (is_extended(resource) || is_huge_page(resource)) && q.milli_value() % 1000 != 0 {
            errors.push(FieldError::invalid(&at, quoted(&q.to_string()), "must be an integer"));
        }
    }
}

const QUANTITY_FORM: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Requests, limits and claims of a container.
pub fn validate(errors: &mut Errors, resources: &Value, path: &Path) {
    let (limits, requests) = (resources.get("limits"), resources.get("requests"));
    let (limits_at, requests_at) = (path.child("limits"), path.child("requests"));
    check_amounts(errors, limits, &limits_at);
    check_amounts(errors, requests, &requests_at);
    for (resource, v) in requests.and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
        let Some(request) = quantity(v) else { continue };
        let exact = is_extended(resource) || is_huge_page(resource);
        let Some(limit) = limits.and_then(|l| l.get(resource)).and_then(quantity) else {
            if exact {
                let why = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(&limits_at, why));
            }
            continue;
        };
        if exact && request != limit {
            let why = format!("must be equal to {resource} limit of {limit}");
            errors.push(FieldError::invalid(&requests_at, quoted(&request.to_string()), why));
        } else if request > limit {
            let why = format!("must be less than or equal to {resource} limit of {limit}");
            errors.push(FieldError::invalid(&requests_at, quoted(&request.to_string()), why));
        }
    }
    for (i, claim) in resources.list_at(&["claims"]).iter().enumerate() {
        crate::rules::required(errors, claim, "name", &path.child("claims").index(i));
    }
}

//! Resources of containers: names, amounts, requests within limits.
// k8s: pkg/apis/core/validation/validation.go ValidateContainerResourceRequirements

use std::collections::BTreeSet;

use meta::field::quoted;
use meta::{FieldError, Path, Quantity, name};
use schema::Value;

use crate::rules::Errors;

const STANDARD: &[&str] = &["cpu", "memory", "ephemeral-storage"];
/// Standard names of things that are counted.
const INTEGERS: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
/// Standard names that no container may ask for.
const OTHER_STANDARD: &[&str] = &[
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "services.nodeports",
    "services.loadbalancers",
];
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
#[must_use]
pub fn is_extended_resource(resource: &str) -> bool {
    resource.contains('/') && !resource.contains("kubernetes.io/") && !resource.starts_with("requests.")
}

fn check_name(errors: &mut Errors, resource: &str, path: &Path) {
    let complaints = name::qualified_name(resource);
    if !complaints.is_empty() {
        crate::rules::each(errors, path, resource, complaints);
        if !resource.contains('/') {
            let why = "must be a standard resource for containers";
            errors.push(FieldError::invalid(path, quoted(resource), why));
        }
    } else if !resource.contains('/') {
        let standard = STANDARD.contains(&resource) || is_huge_page(resource);
        if !standard && !OTHER_STANDARD.contains(&resource) && !resource.starts_with("requests.hugepages-") {
            let why = "must be a standard resource type or fully qualified";
            errors.push(FieldError::invalid(path, quoted(resource), why));
        }
        if !standard {
            let why = "must be a standard resource for containers";
            errors.push(FieldError::invalid(path, quoted(resource), why));
        }
    } else if !resource.contains("kubernetes.io/") && !is_extended_resource(resource) {
        let why = "doesn't follow extended resource name standard";
        errors.push(FieldError::invalid(path, quoted(resource), why));
    }
}

/// Reads an amount that is not negative, and whole where the resource counts things.
// k8s: pkg/apis/core/validation/validation.go ValidateResourceQuantityValue
pub fn check_quantity(errors: &mut Errors, resource: &str, v: &Value, path: &Path) -> Option<Quantity> {
    let Some(q) = quantity(v) else {
        errors.push(FieldError::invalid(path, crate::rules::printed(Some(v)), QUANTITY_FORM));
        return None;
    };
    if q.sign() < 0 {
        errors.push(FieldError::invalid(path, quoted(&q.to_string()), NON_NEGATIVE));
    }
    let counted = is_extended_resource(resource) || INTEGERS.contains(&resource);
    if counted && q.milli_value() % 1000 != 0 {
        errors.push(FieldError::invalid(path, quoted(&q.to_string()), "must be an integer"));
    }
    Some(q)
}

/// Whether the list names cpu or memory, and whether it names huge pages.
fn check_amounts(errors: &mut Errors, list: Option<&Value>, path: &Path) -> (bool, bool) {
    let (mut compute, mut huge) = (false, false);
    for (resource, v) in list.and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
        let at = path.key(resource);
        check_name(errors, resource, &at);
        let Some(q) = check_quantity(errors, resource, v, &at) else { continue };
        if is_huge_page(resource) {
            huge = true;
            let unit: Option<Quantity> = resource.trim_start_matches("hugepages-").parse().ok();
            if unit.is_none_or(|u| u.sign() <= 0 || q.sign() <= 0 || q.value() % u.value() != 0) {
                let why = format!("{q} is not positive integer multiple of {resource}");
                errors.push(FieldError::invalid(&at, quoted(&q.to_string()), why));
            }
        }
        compute |= matches!(resource, "cpu" | "memory");
    }
    (compute, huge)
}

const QUANTITY_FORM: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Requests, limits and claims of a container.
pub fn validate(errors: &mut Errors, resources: &Value, known: &BTreeSet<&str>, path: &Path) {
    let (limits, requests) = (resources.get("limits"), resources.get("requests"));
    let (limits_at, requests_at) = (path.child("limits"), path.child("requests"));
    let of_limits = check_amounts(errors, limits, &limits_at);
    let of_requests = check_amounts(errors, requests, &requests_at);
    within_limits(errors, limits, requests, (&limits_at, &requests_at));
    if (of_limits.1 || of_requests.1) && !of_limits.0 && !of_requests.0 {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
    claims(errors, resources.list_at(&["claims"]), known, &path.child("claims"));
}

fn within_limits(
    errors: &mut Errors,
    limits: Option<&Value>,
    requests: Option<&Value>,
    (limits_at, requests_at): (&Path, &Path),
) {
    for (resource, v) in requests.and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
        let Some(request) = quantity(v) else { continue };
        let exact = is_extended_resource(resource) || is_huge_page(resource);
        let Some(limit) = limits.and_then(|l| l.get(resource)).and_then(quantity) else {
            if exact {
                let why = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(limits_at, why));
            }
            continue;
        };
        if exact && request != limit {
            let why = format!("must be equal to {resource} limit of {limit}");
            errors.push(FieldError::invalid(requests_at, quoted(&request.to_string()), why));
        } else if request > limit {
            let why = format!("must be less than or equal to {resource} limit of {limit}");
            errors.push(FieldError::invalid(requests_at, quoted(&request.to_string()), why));
        }
    }
}

// k8s: pkg/apis/core/validation/validation.go validateResourceClaimNames
fn claims(errors: &mut Errors, list: &[Value], known: &BTreeSet<&str>, path: &Path) {
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (i, claim) in list.iter().enumerate() {
        let at = path.index(i);
        let (n, request) = (claim.str_at(&["name"]), claim.str_at(&["request"]));
        if n.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        if !request.is_empty() {
            crate::rules::each(errors, &at.child("request"), request, name::dns1123_label(request));
        }
        let whole = seen.contains(&(n, ""));
        let overlaps = whole || (request.is_empty() && seen.iter().any(|(s, _)| *s == n));
        if overlaps {
            errors.push(FieldError::duplicate(&at, quoted(n)));
        } else if !seen.insert((n, request)) {
            errors.push(FieldError::duplicate(&at, quoted(&format!("{n}/{request}"))));
        }
        if !known.contains(n) {
            let mut e = FieldError::not_found(&at, quoted(n));
            e.detail = if known.is_empty() {
                "must be one of the names in pod.spec.resourceClaims which is empty".to_owned()
            } else {
                let names: Vec<&str> = known.iter().copied().collect();
                format!("must be one of the names in pod.spec.resourceClaims: {}", names.join(", "))
            };
            errors.push(e);
        }
    }
}

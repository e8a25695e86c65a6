//! The selectors of access reviews: a text or a list of requirements. What cannot be understood is left out, which
//! asks for more than was meant and so never lets in too much.
// k8s: pkg/registry/authorization/util/helpers.go, pkg/apis/authorization/validation/validation.go

use meta::labels::Operator;
use meta::{FieldError, Path, fields, labels, name};
use schema::Value;

fn requirements(selector: &Value) -> &[Value] {
    selector.list_at(&["requirements"])
}

fn values(requirement: &Value) -> Vec<String> {
    requirement.list_at(&["values"]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The selector of fields, and whether all of it was understood.
pub(super) fn fields(selector: Option<&Value>) -> (fields::Selector, bool) {
    let Some(selector) = selector else { return (fields::Selector::default(), true) };
    let listed = requirements(selector);
    if listed.is_empty() {
        let parsed = fields::Selector::parse(selector.str_at(&["rawSelector"]));
        let whole = parsed.is_ok();
        return (parsed.unwrap_or_default(), whole);
    }
    let one = |r: &Value| {
        let negated = match r.str_at(&["operator"]) {
            "In" => false,
            "NotIn" => true,
            _ => return None,
        };
        let [value]: [String; 1] = values(r).try_into().ok()?;
        Some(fields::Requirement { field: r.str_at(&["key"]).to_owned(), negated, value })
    };
    let found: Vec<_> = listed.iter().filter_map(one).collect();
    let whole = found.len() == listed.len();
    (fields::Selector(found), whole)
}

/// The selector of labels, and whether all of it was understood.
pub(super) fn labels(selector: Option<&Value>) -> (labels::Selector, bool) {
    let Some(selector) = selector else { return (labels::Selector::default(), true) };
    let listed = requirements(selector);
    if listed.is_empty() {
        let parsed = labels::Selector::parse(selector.str_at(&["rawSelector"]));
        let whole = parsed.is_ok();
        return (parsed.unwrap_or_default(), whole);
    }
    let one = |r: &Value| {
        let operator = match r.str_at(&["operator"]) {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        labels::Requirement::new(r.str_at(&["key"]), operator, values(r)).ok()
    };
    let found: Vec<_> = listed.iter().filter_map(one).collect();
    let whole = found.len() == listed.len();
    (labels::Selector::new(found), whole)
}

/// What the answer says of selectors that were not understood as a whole.
pub(super) fn ignored(fields: &(fields::Selector, bool), labels: &(labels::Selector, bool)) -> String {
    let both =
        [("fieldSelector", fields.1, fields.0.is_empty()), ("labelSelector", labels.1, labels.0.is_empty())];
    let mut said = Vec::new();
    for (which, whole, empty) in both {
        let partially = if empty { "" } else { "partially " };
        if !whole {
            said.push(format!("spec.resourceAttributes.{which} {partially}ignored due to parse error"));
        }
    }
    said.join("; ")
}

/// What is wrong with the selectors of `spec.resourceAttributes`. Operators that are not known are no mistake:
/// clients may be newer.
pub(super) fn check(attributes: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let base = Path::new("spec").child("resourceAttributes");
    for (which, is_label) in [("fieldSelector", false), ("labelSelector", true)] {
        let Some(selector) = attributes.and_then(|a| a.get(which)) else { continue };
        let path = base.child(which);
        let raw = selector.str_at(&["rawSelector"]);
        match (raw.is_empty(), requirements(selector).is_empty()) {
            (false, false) => {
                let why = "may not specified at the same time as requirements";
                errors.push(FieldError::invalid(&path.child("rawSelector"), meta::field::quoted(raw), why));
            }
            (true, true) => {
                let why =
                    format!("when {} is specified, requirements or rawSelector is required", path.as_str());
                errors.push(FieldError::required(&path.child("requirements"), why));
            }
            _ => {}
        }
        for (i, requirement) in requirements(selector).iter().enumerate() {
            let at = path.child("requirements").index(i);
            if !is_label && requirement.str_at(&["key"]).is_empty() {
                errors.push(FieldError::required(&at.child("key"), "must be specified"));
            }
            errors.extend(misplaced_values(&at, requirement));
            if is_label {
                check_label(&at, requirement, &mut errors);
            }
        }
    }
    errors
}

fn misplaced_values(path: &Path, requirement: &Value) -> Option<FieldError> {
    let path = path.child("values");
    let none = requirement.list_at(&["values"]).is_empty();
    match requirement.str_at(&["operator"]) {
        "In" | "NotIn" if none => {
            Some(FieldError::required(&path, "must be specified when `operator` is 'In' or 'NotIn'"))
        }
        "Exists" | "DoesNotExist" if !none => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            Some(FieldError::forbidden(&path, why))
        }
        _ => None,
    }
}

// k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go ValidateLabelSelectorRequirement
fn check_label(path: &Path, requirement: &Value, errors: &mut Vec<FieldError>) {
    let quoted = meta::field::quoted;
    let key = requirement.str_at(&["key"]);
    for why in name::qualified_name(key) {
        errors.push(FieldError::invalid(&path.child("key"), quoted(key), why));
    }
    for (i, value) in values(requirement).iter().enumerate() {
        for why in name::label_value(value) {
            errors.push(FieldError::invalid(&path.child("values").index(i), quoted(value), why));
        }
    }
}

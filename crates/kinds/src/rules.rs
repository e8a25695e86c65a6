//! Small steps that validations share: look at a field, say what is wrong in upstream's words.
//! They never look beyond the object.

use meta::field::quoted;
use meta::labels::{LabelSelector, LabelSelectorRequirement, Selector, SelectorError};
use meta::{FieldError, Path, name};
use schema::Value;
pub use schema::metadata::{each, labels, printed};

/// Complaints gathered by a validation.
pub type Errors = Vec<FieldError>;

/// Text of the message for values that may not change.
pub const IMMUTABLE: &str = "field is immutable";

/// Requires a text; gives it when it is there.
pub fn required<'a>(errors: &mut Errors, v: &'a Value, field: &str, path: &Path) -> Option<&'a str> {
    let s = v.str_at(&[field]);
    if s.is_empty() {
        errors.push(FieldError::required(&path.child(field), ""));
        return None;
    }
    Some(s)
}

/// A text that must be one of a few; absent and empty count as missing.
pub fn one_of(errors: &mut Errors, v: &Value, field: &str, path: &Path, allowed: &[&str]) {
    let s = v.str_at(&[field]);
    if s.is_empty() {
        errors.push(FieldError::required(&path.child(field), ""));
    } else if !allowed.contains(&s) {
        errors.push(FieldError::not_supported(&path.child(field), s, allowed));
    }
}

/// A text that must be one of a few when it is there.
pub fn optional_one_of(errors: &mut Errors, v: &Value, field: &str, path: &Path, allowed: &[&str]) {
    let s = v.str_at(&[field]);
    if !s.is_empty() && !allowed.contains(&s) {
        errors.push(FieldError::not_supported(&path.child(field), s, allowed));
    }
}

/// A number that may not be negative, when it is there.
pub fn non_negative(errors: &mut Errors, v: &Value, field: &str, path: &Path) {
    if let Some(n) = v.int_at(&[field])
        && n < 0
    {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child(field), n.to_string(), why));
    }
}

/// A field whose value may not change.
pub fn immutable(errors: &mut Errors, new: Option<&Value>, old: Option<&Value>, path: &Path) {
    if !same(new, old) {
        errors.push(FieldError::invalid(path, printed(new), IMMUTABLE));
    }
}

/// Whether two fields are equal where an empty list or map counts as absent.
#[must_use]
pub fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    fn there(v: Option<&Value>) -> Option<&Value> {
        v.filter(|v| match v {
            Value::Null => false,
            Value::List(l) => !l.is_empty(),
            Value::Map(m) => !m.is_empty(),
            _ => true,
        })
    }
    there(a) == there(b)
}

/// A LabelSelector; `None` is fine.
// k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go ValidateLabelSelector
pub fn label_selector(errors: &mut Errors, selector: Option<&Value>, path: &Path) {
    let Some(selector) = selector else { return };
    labels(errors, selector.get("matchLabels"), &path.child("matchLabels"));
    for (i, e) in selector.list_at(&["matchExpressions"]).iter().enumerate() {
        let at = path.child("matchExpressions").index(i);
        let values = e.list_at(&["values"]);
        match e.str_at(&["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&at.child("values"), why));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&at.child("values"), why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let why = "not a valid selector operator";
                errors.push(FieldError::invalid(&at.child("operator"), quoted(other), why));
            }
        }
        let key = e.str_at(&["key"]);
        each(errors, &at.child("key"), key, name::qualified_name(key));
        for (j, v) in values.iter().enumerate() {
            let v = v.as_str().unwrap_or("");
            each(errors, &at.child("values").index(j), v, name::label_value(v));
        }
    }
}

/// The selector that a LabelSelector field means.
pub fn selector_of(selector: Option<&Value>) -> Result<Selector, SelectorError> {
    let Some(selector) = selector else { return Ok(Selector::nothing()) };
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    let match_labels = selector
        .get("matchLabels")
        .and_then(Value::as_map)
        .map(|m| m.iter().map(|(k, v)| (k.to_owned(), text(v))).collect())
        .unwrap_or_default();
    let match_expressions = selector
        .list_at(&["matchExpressions"])
        .iter()
        .map(|e| LabelSelectorRequirement {
            key: e.str_at(&["key"]).to_owned(),
            operator: e.str_at(&["operator"]).to_owned(),
            values: e.list_at(&["values"]).iter().map(text).collect(),
        })
        .collect();
    Selector::from_label_selector(Some(&LabelSelector { match_labels, match_expressions }))
}

/// Whether a selector matches a map of labels.
#[must_use]
pub fn selects(selector: &Selector, labels: Option<&Value>) -> bool {
    selector.matches(|k| labels.and_then(Value::as_map).and_then(|m| m.get(k)).and_then(Value::as_str))
}

/// The object with another `apiVersion` and its top-level fields renamed by `rename` where it gives a name.
#[must_use]
pub fn converted(
    mut object: Value,
    api_version: &'static str,
    rename: impl Fn(&str) -> Option<&'static str>,
) -> Value {
    if let Some(m) = object.as_map_mut() {
        for (key, _) in &mut m.0 {
            if let Some(new) = rename(key) {
                *key = new.into();
            }
        }
        m.set("apiVersion", api_version);
    }
    object
}

//! Rules for what stands in `metadata`, of objects and of those that are embedded in objects. They see the fields
//! only, and never which kind they belong to.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go

use meta::field::quoted;
use meta::{FieldError, Gvk, Path, gvr, name};

use crate::Value;

/// Limit of keys and values of all annotations together, in bytes.
pub const ANNOTATIONS_LIMIT_BYTES: usize = 256 * 1024;

/// Finalizers that need no domain in front.
pub const STANDARD_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

type Errors = Vec<FieldError>;

/// A value as messages print it: strings quoted, maps and lists as compact JSON.
#[must_use]
pub fn printed(v: Option<&Value>) -> String {
    match v {
        None | Some(Value::Null) => "null".to_owned(),
        Some(Value::Str(s)) => quoted(s),
        Some(v) => json_text(v),
    }
}

fn json_text(v: &Value) -> String {
    match v {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Str(s) => quoted(s),
        Value::List(l) => format!("[{}]", l.iter().map(json_text).collect::<Vec<_>>().join(",")),
        Value::Map(m) => {
            let fields: Vec<String> = m
                .iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| format!("{}:{}", quoted(k), json_text(v)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

/// One `Invalid` per complaint about a text.
pub fn each(errors: &mut Errors, path: &Path, value: &str, complaints: Vec<String>) {
    errors.extend(complaints.into_iter().map(|c| FieldError::invalid(path, quoted(value), c)));
}

/// A map of labels: keys are qualified names, values label values.
// k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go ValidateLabels
pub fn labels(errors: &mut Errors, labels: Option<&Value>, path: &Path) {
    for (k, v) in labels.and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
        each(errors, path, k, name::qualified_name(k));
        let v = v.as_str().unwrap_or("");
        each(errors, &path.key(k), v, name::label_value(v));
    }
}

/// Annotations: keys are qualified names in any case, and the whole has a limit.
pub fn annotations(errors: &mut Errors, annotations: Option<&Value>, path: &Path) {
    let mut size_bytes = 0;
    for (k, v) in annotations.and_then(Value::as_map).into_iter().flat_map(|m| m.iter()) {
        each(errors, path, k, name::qualified_name(&k.to_lowercase()));
        size_bytes += k.len() + v.as_str().map_or(0, str::len);
    }
    if size_bytes > ANNOTATIONS_LIMIT_BYTES {
        errors.push(FieldError::too_long(path, ANNOTATIONS_LIMIT_BYTES));
    }
}

/// Owners: each named in full, at most one the controller.
pub fn owner_references(errors: &mut Errors, references: Option<&Value>, path: &Path) {
    let mut controller: Option<String> = None;
    for r in references.and_then(Value::as_list).unwrap_or(&[]) {
        let api_version = r.str_at(&["apiVersion"]);
        let (group, version) = gvr::split_api_version(api_version);
        if version.is_empty() {
            let at = path.child("apiVersion");
            errors.push(FieldError::invalid(&at, quoted(api_version), "version must not be empty"));
        }
        for field in ["kind", "name", "uid"] {
            if r.str_at(&[field]).is_empty() {
                errors.push(FieldError::invalid(&path.child(field), "\"\"", "must not be empty"));
            }
        }
        if group.is_empty() && version == "v1" && r.str_at(&["kind"]) == "Event" {
            let gvk = Gvk::new("", "v1", "Event");
            let why = format!("/{}, Kind={} is disallowed from being an owner", gvk.version, gvk.kind);
            errors.push(FieldError::invalid(path, printed(Some(r)), why));
        }
        if r.bool_at(&["controller"]) == Some(true) {
            let name = format!("{}/{}", r.str_at(&["kind"]), r.str_at(&["name"]));
            if let Some(first) = &controller {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                errors.push(FieldError::invalid(path, printed(references), why));
            } else {
                controller = Some(name);
            }
        }
    }
}

/// Finalizers: qualified names, with a domain unless they are standard or `strict` is off.
pub fn finalizers(errors: &mut Errors, strict: bool, finalizers: Option<&Value>, path: &Path) {
    let list = finalizers.and_then(Value::as_list).unwrap_or(&[]);
    for (i, f) in list.iter().enumerate() {
        let f = f.as_str().unwrap_or("");
        let complaints = name::qualified_name(f);
        let malformed = !complaints.is_empty();
        each(errors, path, f, complaints);
        if !malformed && strict && !f.contains('/') && !STANDARD_FINALIZERS.contains(&f) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path.index(i), quoted(f), why));
        }
    }
    let has = |name: &str| list.iter().any(|f| f.as_str() == Some(name));
    if has("orphan") && has("foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, printed(finalizers), why));
    }
}

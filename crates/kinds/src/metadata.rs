//! Rules for `metadata`, the same for every kind. They see only the object (and its predecessor), not the store.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go

use meta::field::quoted;
use meta::{FieldError, Path, name};
use schema::Value;
pub use schema::metadata::{ANNOTATIONS_LIMIT_BYTES, STANDARD_FINALIZERS, annotations};
use schema::metadata::{finalizers, labels, owner_references};

use crate::Kind;
use crate::rules::{Errors, IMMUTABLE, each, printed};

/// Groups whose finalizers may be any word.
const UNCHECKED_FINALIZERS: &[&str] =
    &["apiextensions.k8s.io", "apiregistration.k8s.io", "admissionregistration.k8s.io"];

/// Everything wrong with the metadata of an object to be created. A name made from `generateName` is already in.
#[must_use]
pub fn validate_create(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let path = Path::new("metadata");
    let meta = |field: &str| object.str_at(&["metadata", field]);
    let generate_name = meta("generateName");
    if !generate_name.is_empty() {
        let complaints = kind.name_rule.complaints(generate_name, true);
        each(&mut errors, &path.child("generateName"), generate_name, complaints);
    }
    let object_name = meta("name");
    if object_name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    } else {
        each(&mut errors, &path.child("name"), object_name, kind.name_rule.complaints(object_name, false));
    }
    let namespace = meta("namespace");
    let at = path.child("namespace");
    match (kind.namespaced(), namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(&at, "")),
        (true, false) => each(&mut errors, &at, namespace, name::dns1123_label(namespace)),
        (false, true) => {}
        (false, false) => errors.push(FieldError::forbidden(&at, "not allowed on this type")),
    }
    validate_rest(kind, object, &path, &mut errors);
    errors
}

/// Everything wrong with the metadata of an update. System fields that the new object leaves out are taken as
/// unchanged.
#[must_use]
pub fn validate_update(kind: &Kind, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let path = Path::new("metadata");
    if !old.str_at(&["metadata", "deletionTimestamp"]).is_empty() {
        no_new_finalizers(new, old, &path, &mut errors);
    }
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        let after = new.at(&["metadata", field]);
        if after.is_some() && after != old.at(&["metadata", field]) {
            errors.push(FieldError::invalid(&path.child(field), printed(after), IMMUTABLE));
        }
    }
    let generation = |o: &Value| o.int_at(&["metadata", "generation"]);
    if let (Some(after), Some(before)) = (generation(new), generation(old))
        && after < before
    {
        let at = path.child("generation");
        errors.push(FieldError::invalid(&at, after.to_string(), "must not be decremented"));
    }
    validate_rest(kind, new, &path, &mut errors);
    errors
}

fn no_new_finalizers(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let before = old.list_at(&["metadata", "finalizers"]);
    let mut added: Vec<String> = new
        .list_at(&["metadata", "finalizers"])
        .iter()
        .filter(|f| !before.contains(f))
        .map(|f| quoted(f.as_str().unwrap_or("")))
        .collect();
    added.sort();
    if !added.is_empty() {
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        );
        errors.push(FieldError::forbidden(&path.child("finalizers"), why));
    }
}

fn validate_rest(kind: &Kind, object: &Value, path: &Path, errors: &mut Errors) {
    let meta = object.get("metadata");
    let get = |field: &str| meta.and_then(|m| m.get(field));
    if let Some(n) = get("generation").and_then(Value::as_int)
        && n < 0
    {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("generation"), n.to_string(), why));
    }
    labels(errors, get("labels"), &path.child("labels"));
    annotations(errors, get("annotations"), &path.child("annotations"));
    owner_references(errors, get("ownerReferences"), &path.child("ownerReferences"));
    let strict = !UNCHECKED_FINALIZERS.contains(&&*kind.group);
    finalizers(errors, strict, get("finalizers"), &path.child("finalizers"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::yaml;

    fn pods() -> &'static Kind {
        crate::by_resource("", "v1", "pods").unwrap()
    }

    fn create(text: &str) -> Vec<String> {
        validate_create(pods(), &yaml(text)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn creation() {
        assert_eq!(create("metadata: {name: a, namespace: b}"), Vec::<String>::new());
        assert_eq!(create("metadata: {name: a, generateName: a-, namespace: b}"), Vec::<String>::new());
        assert_eq!(
            create("metadata: {}"),
            [
                "metadata.name: Required value: name or generateName is required",
                "metadata.namespace: Required value"
            ]
        );
        let e = create("metadata: {name: A, namespace: b.c, labels: {'-a': '-'}, annotations: {'a b': ''}}");
        assert_eq!(e.len(), 5, "{e:#?}");
        assert!(e[0].starts_with("metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain"));
        assert_eq!(e[1], "metadata.namespace: Invalid value: \"b.c\": must not contain dots");
        assert!(e[3].starts_with("metadata.labels[-a]: Invalid value: \"-\": a valid label must"), "{e:#?}");
    }

    #[test]
    fn owners_and_finalizers() {
        let e = create(
            "metadata: {name: a, namespace: b, finalizers: [x, a.b/c, orphan, foregroundDeletion], ownerReferences: [{apiVersion: v1, kind: A, name: p, uid: u, controller: true}, {apiVersion: '', kind: B, name: m, uid: '', controller: true}]}",
        );
        assert_eq!(
            e,
            [
                "metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty",
                "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
                "metadata.ownerReferences: Invalid value: [{\"apiVersion\":\"v1\",\"controller\":true,\"kind\":\"A\",\"name\":\"p\",\"uid\":\"u\"},{\"apiVersion\":\"\",\"controller\":true,\"kind\":\"B\",\"name\":\"m\",\"uid\":\"\"}]: Only one reference can have Controller set to true. Found \"true\" in references for A/p and B/m",
                "metadata.finalizers[0]: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified",
                "metadata.finalizers: Invalid value: [\"x\",\"a.b/c\",\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set",
            ]
        );
    }

    #[test]
    fn updates() {
        let old = yaml(
            "metadata: {name: a, namespace: b, uid: u, generation: 3, deletionTimestamp: '2026-01-01T00:00:00Z'}",
        );
        let new = yaml("metadata: {name: a, namespace: c, uid: v, generation: 2, finalizers: [a.b/c]}");
        let e: Vec<String> = validate_update(pods(), &new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(
            e,
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a.b/c\"}",
                "metadata.namespace: Invalid value: \"c\": field is immutable",
                "metadata.uid: Invalid value: \"v\": field is immutable",
                "metadata.generation: Invalid value: 2: must not be decremented",
            ]
        );
    }
}

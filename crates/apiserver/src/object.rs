//! Metadata of an object as the server reads and sets it. It must never know a kind by name.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/rest/create.go, update.go, meta.go

use jiff::Timestamp;
use meta::{FieldError, Path, Status, name};
use schema::Value;
use sys::Entropy;

/// Letters of generated names: no vowels, and no digits that look like letters.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
const LIMIT_GENERATED: usize = 63;
/// Most bytes in all annotations of one object.
const LIMIT_ANNOTATIONS_BYTES: usize = 256 << 10;

/// `metadata.<field>` as text, empty when absent.
#[must_use]
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.str_at(&["metadata", field])
}

/// Names of the finalizers.
#[must_use]
pub fn finalizers(object: &Value) -> Vec<&str> {
    object.list_at(&["metadata", "finalizers"]).iter().filter_map(Value::as_str).collect()
}

/// Whether the object is marked for deletion.
#[must_use]
pub fn is_terminating(object: &Value) -> bool {
    object.at(&["metadata", "deletionTimestamp"]).is_some()
}

/// A time as metadata carries it: RFC 3339, whole seconds, UTC.
#[must_use]
pub fn rfc3339(t: Timestamp) -> String {
    let seconds = Timestamp::from_second(t.as_second()).unwrap_or(t);
    seconds.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `base` with five random letters, cut so that the whole is at most 63 bytes.
#[must_use]
pub fn generate_name(base: &str, entropy: &dyn Entropy) -> String {
    let mut end = base.len().min(LIMIT_GENERATED - SUFFIX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = base[..end].to_owned();
    out.push_str(&random_suffix(entropy, SUFFIX));
    out
}

/// Random letters of the alphabet of generated names.
#[must_use]
pub fn random_suffix(entropy: &dyn Entropy, length: usize) -> String {
    (0..length)
        .map(|_| {
            let at = usize::try_from(entropy.next_u64() % ALPHABET.len() as u64).unwrap_or(0);
            char::from(ALPHABET[at])
        })
        .collect()
}

/// Sets what the server sets on a new object.
///
/// # Errors
/// 500 as upstream when the client sets a resource version.
pub fn prepare_create(
    object: &mut Value,
    namespace: &str,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(), Status> {
    if !text(object, "resourceVersion").is_empty() {
        return Err(Status::failure(500, "", "resourceVersion should not be set on objects to be created"));
    }
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
        "resourceVersion",
        "generation",
    ] {
        object.remove_at(&["metadata", field]);
    }
    if !namespace.is_empty() {
        object.set_at(&["metadata", "namespace"], namespace);
    }
    let base = text(object, "generateName");
    if text(object, "name").is_empty() && !base.is_empty() {
        let name = generate_name(base, entropy);
        object.set_at(&["metadata", "name"], name);
    }
    object.set_at(&["metadata", "uid"], sys::uuid_v4(entropy));
    object.set_at(&["metadata", "creationTimestamp"], rfc3339(now));
    Ok(())
}

/// Carries over what no client may change on an update. The resource version is the old one.
pub fn carry_system_metadata(new: &mut Value, old: &Value) {
    const FIELDS: &[&str] = &[
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
    ];
    carry_metadata(new, old, FIELDS);
    for field in ["managedFields", "selfLink"] {
        new.remove_at(&["metadata", field]);
    }
}

/// Puts the old values of these fields of the metadata (or their absence) into `new`.
pub fn carry_metadata(new: &mut Value, old: &Value, fields: &[&'static str]) {
    for field in fields.iter().copied() {
        match old.at(&["metadata", field]) {
            Some(v) => {
                let v = v.clone();
                new.set_at(&["metadata", field], v);
            }
            None => {
                new.remove_at(&["metadata", field]);
            }
        }
    }
}

/// Everything wrong with an object's metadata, the name's form excepted.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go
#[must_use]
pub fn validate(object: &Value, kind: &kinds::Kind) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    let generate = text(object, "generateName");
    if !generate.is_empty() {
        let complaints = kind.name_rule.complaints(generate, true);
        let at = path.child("generateName");
        errors.extend(
            complaints.into_iter().map(|c| FieldError::invalid(&at, meta::field::quoted(generate), c)),
        );
    }
    let object_name = text(object, "name");
    if object_name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    } else {
        let complaints = kind.name_rule.complaints(object_name, false);
        let at = path.child("name");
        errors.extend(
            complaints.into_iter().map(|c| FieldError::invalid(&at, meta::field::quoted(object_name), c)),
        );
    }
    let namespace = text(object, "namespace");
    if kind.namespaced() {
        let at = path.child("namespace");
        if namespace.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        let complaints = if namespace.is_empty() { Vec::new() } else { name::dns1123_label(namespace) };
        errors.extend(
            complaints.into_iter().map(|c| FieldError::invalid(&at, meta::field::quoted(namespace), c)),
        );
    } else if !namespace.is_empty() {
        errors.push(FieldError::forbidden(&path.child("namespace"), "not allowed on this type"));
    }
    labels(object, &path.child("labels"), &mut errors);
    annotations(object, &path.child("annotations"), &mut errors);
    owners(object, &path.child("ownerReferences"), &mut errors);
    for f in finalizers(object) {
        let complaints = name::qualified_name(f);
        let at = path.child("finalizers");
        errors.extend(complaints.into_iter().map(|c| FieldError::invalid(&at, meta::field::quoted(f), c)));
    }
    errors
}

fn labels(object: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(map) = object.at(&["metadata", "labels"]).and_then(Value::as_map) else { return };
    for (k, v) in map.iter() {
        let v = v.as_str().unwrap_or("");
        errors.extend(
            name::qualified_name(k).into_iter().map(|c| FieldError::invalid(path, meta::field::quoted(k), c)),
        );
        errors.extend(
            name::label_value(v).into_iter().map(|c| FieldError::invalid(path, meta::field::quoted(v), c)),
        );
    }
}

fn annotations(object: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(map) = object.at(&["metadata", "annotations"]).and_then(Value::as_map) else { return };
    let mut total = 0;
    for (k, v) in map.iter() {
        let complaints = name::qualified_name(&k.to_ascii_lowercase());
        errors.extend(complaints.into_iter().map(|c| FieldError::invalid(path, meta::field::quoted(k), c)));
        total += k.len() + v.as_str().unwrap_or("").len();
    }
    if total > LIMIT_ANNOTATIONS_BYTES {
        errors.push(FieldError::too_long(path, LIMIT_ANNOTATIONS_BYTES));
    }
}

fn owners(object: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut controllers = 0;
    for (i, owner) in object.list_at(&["metadata", "ownerReferences"]).iter().enumerate() {
        let at = path.index(i);
        for (field, what) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if owner.str_at(&[field]).is_empty() {
                errors.push(FieldError::invalid(&at.child(field), "\"\"", what));
            }
        }
        controllers += usize::from(owner.bool_at(&["controller"]) == Some(true));
    }
    if controllers > 1 {
        errors.push(FieldError::invalid(path, "[]", "Only one reference can have Controller set to true"));
    }
}

/// What is wrong with a change of metadata.
#[must_use]
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        let (n, o) = (text(new, field), text(old, field));
        if n != o {
            errors.push(FieldError::invalid(
                &path.child(field),
                meta::field::quoted(n),
                "field is immutable",
            ));
        }
    }
    if is_terminating(old) {
        let before = finalizers(old);
        let added: Vec<&str> = finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            errors.push(FieldError::forbidden(
                &path.child("finalizers"),
                format!("no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"),
            ));
        }
    }
    errors
}

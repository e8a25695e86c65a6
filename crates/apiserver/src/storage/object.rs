//! Metadata of an object as the server reads and sets it. It must never know a kind by name.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/rest/create.go, update.go, meta.go

use jiff::Timestamp;
use meta::Status;
use schema::{Map, Value};
use sys::Entropy;

/// Letters of generated names: no vowels, and no digits that look like letters.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
const LIMIT_GENERATED: usize = 63;

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

/// A map of a few fields.
pub fn map<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    let mut m = Map::new();
    for (k, v) in fields {
        m.set(k, v);
    }
    Value::Map(m)
}

/// A list of texts as a value.
pub fn texts<'a>(list: impl IntoIterator<Item = &'a String>) -> Value {
    Value::List(list.into_iter().map(|s| Value::from(s.as_str())).collect())
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

/// Whether nothing changes but what the garbage collector changes to let an object go.
// k8s: pkg/registry/rbac/helpers.go IsOnlyMutatingGCFields
#[must_use]
pub fn is_only_for_deletion(new: &Value, old: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
            object.remove_at(&["metadata", field]);
        }
        object
    };
    rest(new) == rest(old)
}

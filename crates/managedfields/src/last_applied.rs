//! The annotation in which client-side apply keeps what it applied: server-side apply by kubectl takes over what it
//! says, and keeps it up to date. It must never be looked at for another manager.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/lastappliedmanager.go, lastappliedupdater.go

use schema::{TypeRef, Value, decode_plain, encode_plain};

use crate::compare::compare_at;
use crate::fields::{fields_at, validate};
use crate::merge::written;
use crate::place::{Place, Zeros};
use crate::set::Set;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// All keys and values of annotations together, in bytes.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go TotalAnnotationSizeLimitB
const LIMIT_ANNOTATIONS_BYTES: usize = 256 * 1024;

/// The fields that client-side apply set and that are as it set them; `None` where it did not, or in another version.
pub(crate) fn owned(live: &Value, ty: TypeRef<'_>, api_version: &str) -> Option<Set> {
    let text = live.str_at(&["metadata", "annotations", ANNOTATION]);
    if text.is_empty() {
        return None;
    }
    let last = decode_plain(text.as_bytes()).ok()?;
    if last.str_at(&["apiVersion"]) != api_version {
        return None;
    }
    validate(&last, ty).ok()?;
    let place = Place::root(ty);
    let fields = fields_at(&last, place).ok()?;
    let diff = compare_at(&last, &written(live, place), place, Zeros::AsIs).ok()?;
    Some(fields.difference(&diff.modified).difference(&diff.added).difference(&diff.removed))
}

/// Writes the annotation anew where there is one; says whether it did. One that would be too long is taken away.
pub(crate) fn renew(object: &mut Value, config: &Value) -> bool {
    let old = object.str_at(&["metadata", "annotations", ANNOTATION]);
    if old.is_empty() {
        return false;
    }
    let mut text = encode_plain(&sorted(config));
    // Go's encoder ends with a line break.
    text.push(b'\n');
    let text = String::from_utf8_lossy(&text).into_owned();
    if text == old {
        return false;
    }
    let Some(annotations) = object.at_mut(&["metadata", "annotations"]).and_then(Value::as_map_mut) else {
        return false;
    };
    annotations.set(ANNOTATION, text);
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > LIMIT_ANNOTATIONS_BYTES {
        annotations.remove(ANNOTATION);
    }
    true
}

/// The configuration without the annotation itself, keys in their order.
fn sorted(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(annotations) = config.at_mut(&["metadata", "annotations"]).and_then(Value::as_map_mut) {
        annotations.remove(ANNOTATION);
    }
    sort(&mut config);
    config
}

fn sort(value: &mut Value) {
    match value {
        Value::Map(map) => {
            map.0.sort_by(|a, b| a.0.cmp(&b.0));
            map.0.iter_mut().for_each(|(_, v)| sort(v));
        }
        Value::List(list) => list.iter_mut().for_each(sort),
        _ => {}
    }
}

//! What the tables of several controllers are written with.

use serde_json::{Value, json};

/// Lays a JSON merge patch over a value.
pub fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (k, v) in patch {
        if v.is_null() {
            into.as_object_mut().unwrap().remove(k);
        } else {
            merge(&mut into[k], v);
        }
    }
}

//! JSON Merge Patch, RFC 7386.

use crate::{Map, Value};

/// Merges `patch` into `target`: null removes, maps merge, anything else replaces.
pub fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Map(patch) = patch else {
        *target = patch;
        return;
    };
    if !matches!(target, Value::Map(_)) {
        *target = Value::Map(Map::new());
    }
    let Value::Map(map) = target else { return };
    for (key, value) in patch.0 {
        if value.is_null() {
            map.remove(&key);
        } else if let Some(slot) = map.get_mut(&key) {
            merge_patch(slot, value);
        } else {
            // Nulls inside a new map mean nothing.
            let mut new = Value::Null;
            merge_patch(&mut new, value);
            map.0.push((key, new));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{decode_plain, encode_plain};

    #[test]
    fn rfc_7386() {
        let cases = [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ];
        for (target, patch, want) in cases {
            let mut v = decode_plain(target.as_bytes()).expect(target);
            merge_patch(&mut v, decode_plain(patch.as_bytes()).expect(patch));
            assert_eq!(String::from_utf8_lossy(&encode_plain(&v)), want, "{target} + {patch}");
        }
    }
}

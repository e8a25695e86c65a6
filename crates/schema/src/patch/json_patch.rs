//! JSON Patch, RFC 6902. Negative indices count from the end, as upstream's library does.

use std::borrow::Cow;

use super::{PatchError, same};
use crate::Value;

/// Upstream's limit.
pub const MAX_OPERATIONS: usize = 10_000;
/// What the copies of one patch may add, in bytes of JSON. It keeps a short patch from growing without bound.
// k8s: staging/src/k8s.io/apiserver/pkg/server/config.go JSONPatchMaxCopyBytes
pub const MAX_COPIED_BYTES: usize = 3 << 20;

fn unprocessable(message: String) -> PatchError {
    PatchError::Unprocessable(message)
}

/// Applies the operations in turn; on an error `target` is left half-changed.
///
/// # Errors
/// `BadRequest` for what is no JSON Patch, `TooLarge` above [`MAX_OPERATIONS`], `Unprocessable` when an
/// operation does not apply or a test fails.
pub fn json_patch(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::List(operations) = patch else {
        let message =
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch";
        return Err(PatchError::BadRequest(message.to_owned()));
    };
    if operations.len() > MAX_OPERATIONS {
        let got = operations.len();
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {got}"
        )));
    }
    let mut copied = 0;
    for operation in operations {
        apply_one(target, operation, &mut copied)?;
    }
    Ok(())
}

fn apply_one(target: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), PatchError> {
    if operation.as_map().is_none() {
        return Err(PatchError::BadRequest(
            "error decoding patch: an operation must be an object".to_owned(),
        ));
    }
    let op = operation.str_at(&["op"]);
    let path = pointer(operation, "path")?;
    match op {
        "add" => add(target, &path, operand(operation)?),
        "remove" => remove(target, &path).map(|_| ()),
        "replace" => {
            *get_mut(target, &path)? = operand(operation)?;
            Ok(())
        }
        "move" => {
            let from = pointer(operation, "from")?;
            if path.len() > from.len() && path.starts_with(&from) {
                return Err(unprocessable("move operation does not apply: into itself".to_owned()));
            }
            let value = remove(target, &from)?;
            add(target, &path, value)
        }
        "copy" => {
            let value = get_mut(target, &pointer(operation, "from")?)?;
            *copied += size(value);
            if *copied > MAX_COPIED_BYTES {
                return Err(unprocessable(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED_BYTES}"
                )));
            }
            let value = value.clone();
            add(target, &path, value)
        }
        "test" => {
            let want = operation.as_map().and_then(|m| m.get("value")).unwrap_or(&Value::Null);
            let ok = match get_mut(target, &path) {
                Ok(got) => same(got, want),
                Err(_) => want.is_null(),
            };
            if ok { Ok(()) } else { Err(unprocessable(format!("testing value /{} failed", path.join("/")))) }
        }
        other => Err(unprocessable(format!("Unexpected kind: {other}"))),
    }
}

/// About the bytes of a tree in JSON; a number counts as much as a long one, so that many short ones are bounded.
fn size(value: &Value) -> usize {
    match value {
        Value::List(l) => 2 + l.iter().map(|v| 1 + size(v)).sum::<usize>(),
        Value::Map(m) => 2 + m.iter().map(|(k, v)| 4 + k.len() + size(v)).sum::<usize>(),
        Value::Str(s) => 2 + s.len(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 8,
    }
}

fn operand(operation: &Value) -> Result<Value, PatchError> {
    let value = operation.as_map().and_then(|m| m.get("value"));
    value.cloned().ok_or_else(|| unprocessable("operation has no value".to_owned()))
}

/// The steps of a JSON pointer.
fn pointer<'v>(operation: &'v Value, member: &str) -> Result<Vec<Cow<'v, str>>, PatchError> {
    let Some(text) = operation.get(member).and_then(Value::as_str) else {
        return Err(unprocessable(format!("operation missing {member} field")));
    };
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err(unprocessable(format!("{text:?} is no JSON pointer")));
    };
    let step = |s: &'v str| match s.contains('~') {
        true => Cow::Owned(s.replace("~1", "/").replace("~0", "~")),
        false => Cow::Borrowed(s),
    };
    Ok(rest.split('/').map(step).collect())
}

fn missing(path: &[Cow<'_, str>]) -> PatchError {
    unprocessable(format!("doc is missing path: \"/{}\": missing value", path.join("/")))
}

/// Index into `len` places.
fn index(step: &str, len: usize) -> Option<usize> {
    let i: i64 = step.parse().ok()?;
    let len = i64::try_from(len).ok()?;
    let i = if i < 0 { i + len } else { i };
    (0..len).contains(&i).then(|| usize::try_from(i).ok())?
}

fn get_mut<'v>(target: &'v mut Value, path: &[Cow<'_, str>]) -> Result<&'v mut Value, PatchError> {
    path.iter().try_fold(target, |v, step| {
        let next = match v {
            Value::Map(m) => m.get_mut(step),
            Value::List(l) => index(step, l.len()).and_then(|i| l.get_mut(i)),
            _ => None,
        };
        next.ok_or_else(|| missing(path))
    })
}

fn add(target: &mut Value, path: &[Cow<'_, str>], value: Value) -> Result<(), PatchError> {
    let Some((last, parent)) = path.split_last() else {
        *target = value;
        return Ok(());
    };
    match get_mut(target, parent)? {
        Value::Map(m) => m.set(last.clone().into_owned(), value),
        Value::List(l) if last == "-" => l.push(value),
        Value::List(l) => {
            let at = index(last, l.len() + 1).ok_or_else(|| missing(path))?;
            l.insert(at, value);
        }
        _ => return Err(missing(path)),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &[Cow<'_, str>]) -> Result<Value, PatchError> {
    let Some((last, parent)) = path.split_last() else {
        return Ok(std::mem::take(target));
    };
    match get_mut(target, parent)? {
        Value::Map(m) => m.remove(last).ok_or_else(|| missing(path)),
        Value::List(l) => {
            let at = index(last, l.len()).ok_or_else(|| missing(path))?;
            Ok(l.remove(at))
        }
        _ => Err(missing(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{decode_plain, encode_plain};

    fn run(target: &str, patch: &str) -> Result<String, PatchError> {
        let mut v = decode_plain(target.as_bytes()).expect(target);
        json_patch(&mut v, &decode_plain(patch.as_bytes()).expect(patch))?;
        Ok(String::from_utf8_lossy(&encode_plain(&v)).into_owned())
    }

    #[test]
    fn rfc_6902() {
        let cases = [
            (r#"{"a":1}"#, r#"[{"op":"add","path":"/b","value":2}]"#, r#"{"a":1,"b":2}"#),
            (r#"{"a":[1,3]}"#, r#"[{"op":"add","path":"/a/1","value":2}]"#, r#"{"a":[1,2,3]}"#),
            (r#"{"a":[1]}"#, r#"[{"op":"add","path":"/a/-","value":2}]"#, r#"{"a":[1,2]}"#),
            (r#"{"a":[1]}"#, r#"[{"op":"add","path":"/a/-1","value":2}]"#, r#"{"a":[1,2]}"#),
            (r#"{"a":[1,2]}"#, r#"[{"op":"remove","path":"/a/0"}]"#, r#"{"a":[2]}"#),
            (r#"{"a":1}"#, r#"[{"op":"replace","path":"/a","value":null}]"#, r#"{"a":null}"#),
            (r#"{"a":{"b":1}}"#, r#"[{"op":"move","from":"/a/b","path":"/c"}]"#, r#"{"a":{},"c":1}"#),
            (
                r#"{"a":{"b":1}}"#,
                r#"[{"op":"copy","from":"/a","path":"/c"}]"#,
                r#"{"a":{"b":1},"c":{"b":1}}"#,
            ),
            (
                r#"{"a/b":1,"~":2}"#,
                r#"[{"op":"remove","path":"/a~1b"},{"op":"remove","path":"/~0"}]"#,
                r#"{}"#,
            ),
            (r#"{"a":1}"#, r#"[{"op":"test","path":"/a","value":1.0},{"op":"remove","path":"/a"}]"#, r#"{}"#),
            (r#"{}"#, r#"[{"op":"test","path":"/a","value":null}]"#, r#"{}"#),
        ];
        for (target, patch, want) in cases {
            assert_eq!(run(target, patch).as_deref(), Ok(want), "{target} + {patch}");
        }
    }

    #[test]
    fn does_not_apply() {
        let cases = [
            r#"[{"op":"remove","path":"/x"}]"#,
            r#"[{"op":"replace","path":"/x","value":1}]"#,
            r#"[{"op":"add","path":"/x/y","value":1}]"#,
            r#"[{"op":"add","path":"/l/5","value":1}]"#,
            r#"[{"op":"add","path":"/l/x","value":1}]"#,
            r#"[{"op":"test","path":"/l","value":[2]}]"#,
            r#"[{"op":"move","from":"/x","path":"/y"}]"#,
            r#"[{"op":"move","from":"/m","path":"/m/n"}]"#,
            r#"[{"op":"nope","path":"/l"}]"#,
            r#"[{"op":"add","value":1}]"#,
            r#"[{"op":"add","path":"/a"}]"#,
            r#"[{"op":"add","path":"a","value":1}]"#,
        ];
        for patch in cases {
            let got = run(r#"{"l":[1],"m":{}}"#, patch);
            assert!(matches!(got, Err(PatchError::Unprocessable(_))), "{patch}: {got:?}");
        }
        assert!(matches!(run("{}", "{}"), Err(PatchError::BadRequest(_))));
        assert!(matches!(run("{}", "[1]"), Err(PatchError::BadRequest(_))));
        let many = format!("[{}]", vec![r#"{"op":"test","path":"/a"}"#; MAX_OPERATIONS + 1].join(","));
        assert!(matches!(run("{}", &many), Err(PatchError::TooLarge(_))));
        let doubling = vec![r#"{"op":"copy","from":"","path":"/l/-"}"#; 40].join(",");
        assert!(matches!(run(r#"{"l":[1]}"#, &format!("[{doubling}]")), Err(PatchError::Unprocessable(_))));
    }

    #[test]
    fn copies_are_bounded_in_bytes() {
        let long = "x".repeat(MAX_COPIED_BYTES / 4);
        let cases = [
            // The text is copied three times, then once too often.
            (format!(r#"{{"a":"{long}","l":[]}}"#), 3, true),
            (format!(r#"{{"a":"{long}","l":[]}}"#), 4, false),
            (format!(r#"{{"a":{{"{long}":1}},"l":[]}}"#), 4, false),
        ];
        for (target, times, fits) in cases {
            let patch = vec![r#"{"op":"copy","from":"/a","path":"/l/-"}"#; times].join(",");
            match run(&target, &format!("[{patch}]")) {
                Ok(_) => assert!(fits, "{times}"),
                Err(PatchError::Unprocessable(e)) => {
                    assert!(!fits && e.starts_with("Unable to complete the copy"), "{times}: {e}");
                }
                Err(e) => panic!("{e:?}"),
            }
        }
    }
}

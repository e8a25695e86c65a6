//! Strategic merge patch, driven by the table's patch strategies and merge keys.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/strategicpatch/patch.go

use super::{PatchError, order, same};
use crate::table::{FieldRef, Shape};
use crate::{Key, Map, TypeRef, Value};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

fn bad(message: impl Into<String>) -> PatchError {
    PatchError::BadRequest(message.into())
}

/// What is known of the place where a patch works: its type and, in a struct, the field.
#[derive(Clone, Copy)]
struct Place<'t> {
    ty: Option<TypeRef<'t>>,
    field: Option<FieldRef<'t>>,
}

impl<'t> Place<'t> {
    fn below(self, key: &str) -> Place<'t> {
        let Some(ty) = self.ty else { return self };
        match ty.shape() {
            Shape::Map(elem) => Place { ty: Some(elem), field: None },
            _ => {
                let field = ty.field(key);
                Place { ty: field.map(FieldRef::ty), field }
            }
        }
    }

    fn element(self) -> Place<'t> {
        Place { ty: self.ty.and_then(TypeRef::elem), field: None }
    }

    fn merges(self) -> bool {
        self.field.is_some_and(FieldRef::patch_merge)
    }

    fn merge_key(self) -> Option<&'t str> {
        self.field.and_then(FieldRef::patch_merge_key)
    }
}

/// Merges `patch` into `target`, an object of type `ty`; on an error `target` is left half-changed.
///
/// # Errors
/// `BadRequest` for a malformed patch, `Unprocessable` where lists cannot be merged.
pub fn strategic_merge(target: &mut Value, patch: Value, ty: TypeRef<'_>) -> Result<(), PatchError> {
    let Value::Map(patch) = patch else { return Err(bad("invalid JSON document")) };
    let Value::Map(map) = target else { return Err(bad("invalid JSON document")) };
    merge_map(map, patch, Place { ty: Some(ty), field: None })
}

fn merge_map(map: &mut Map, mut patch: Map, place: Place<'_>) -> Result<(), PatchError> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        match directive.as_str() {
            Some("replace") => *map = patch,
            Some("delete") => *map = Map::new(),
            Some("merge") => return merge_map(map, patch, place),
            _ => {
                let shown = crate::encode_plain(&directive);
                return Err(bad(format!("unknown patch type: {}", String::from_utf8_lossy(&shown))));
            }
        }
        return Ok(());
    }
    retain_keys(map, &mut patch)?;
    ordered_lists(map, &mut patch, place)?;
    for (key, value) in patch.0 {
        merge_entry(map, key, value, place)?;
    }
    Ok(())
}

/// `$retainKeys` drops all but the listed keys; the patch may set only listed ones.
fn retain_keys(map: &mut Map, patch: &mut Map) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let invalid = || bad("invalid patch format of retainKeys");
    let keys = keys.as_list().ok_or_else(invalid)?;
    let listed = |k: &str| keys.iter().any(|v| v.as_str() == Some(k));
    if patch.iter().any(|(k, v)| !k.starts_with('$') && !v.is_null() && !listed(k)) {
        return Err(invalid());
    }
    map.0.retain(|(k, _)| listed(k));
    Ok(())
}

fn merge_entry(map: &mut Map, key: Key, value: Value, place: Place<'_>) -> Result<(), PatchError> {
    if let Some(name) = key.strip_prefix(DELETE_FROM) {
        if let Some(Value::List(list)) = map.get_mut(name) {
            let gone = value.as_list().ok_or_else(|| bad("invalid patch format of primitive list"))?;
            list.retain(|v| !gone.iter().any(|g| same(g, v)));
        }
        return Ok(());
    }
    if value.is_null() {
        map.remove(&key);
        return Ok(());
    }
    let below = place.below(&key);
    match (map.get_mut(&key), value) {
        (Some(Value::Map(old)), Value::Map(patch)) => merge_map(old, patch, below),
        (Some(Value::List(old)), Value::List(patch)) if below.merges() => {
            let server = old.clone();
            let merged = merge_list(std::mem::take(old), patch.clone(), below)?;
            *old = order::normalize(merged, &without_directives(patch), &server, list_key(below, &server));
            Ok(())
        }
        (_, value) => {
            map.set(key, as_new(value));
            Ok(())
        }
    }
}

/// The merge key where the list holds maps.
fn list_key<'t>(place: Place<'t>, sample: &[Value]) -> Option<&'t str> {
    match sample.first() {
        Some(Value::Map(_)) | None => place.merge_key(),
        _ => None,
    }
}

/// Items of a list patch that stay in the list.
fn without_directives(patch: Vec<Value>) -> Vec<Value> {
    patch.into_iter().filter(|v| v.get(DIRECTIVE).is_none()).collect()
}

/// A value that was not there: directives and nulls in it mean nothing.
fn as_new(value: Value) -> Value {
    match value {
        Value::Map(m) => {
            let kept = m.0.into_iter().filter(|(k, v)| !is_directive(k) && !v.is_null());
            Value::Map(Map(kept.map(|(k, v)| (k, as_new(v))).collect()))
        }
        Value::List(l) => {
            let kept = l.into_iter().filter(|v| v.str_at(&[DIRECTIVE]) != "delete");
            let kept =
                kept.filter(|v| !(v.get(DIRECTIVE).is_some() && v.as_map().is_some_and(|m| m.len() == 1)));
            Value::List(kept.map(as_new).collect())
        }
        other => other,
    }
}

fn is_directive(key: &str) -> bool {
    key == DIRECTIVE || key == RETAIN_KEYS || key.starts_with(DELETE_FROM) || key.starts_with(SET_ORDER)
}

/// Lists that come with `$setElementOrder` are merged together with it and taken out of the patch.
fn ordered_lists(map: &mut Map, patch: &mut Map, place: Place<'_>) -> Result<(), PatchError> {
    let keys: Vec<Key> =
        patch.0.iter().map(|(k, _)| k).filter(|k| k.starts_with(SET_ORDER)).cloned().collect();
    for key in keys {
        let invalid = || bad("invalid patch format of setElementOrder list");
        let Some(Value::List(wanted)) = patch.remove(&key) else { return Err(invalid()) };
        let name = key[SET_ORDER.len()..].to_owned();
        let below = place.below(&name);
        let sample: &[Value] = if wanted.is_empty() { &[] } else { &wanted[..1] };
        let merge_key = list_key(below, sample);
        let delete_key = format!("{DELETE_FROM}{name}");
        if let Some(gone) = patch.remove(&delete_key) {
            merge_entry(map, Key::Owned(delete_key), gone, place)?;
        }
        let items = match patch.remove(&name) {
            Some(Value::List(items)) => items,
            None => Vec::new(),
            Some(Value::Null) => {
                map.remove(&name);
                continue;
            }
            Some(_) => return Err(invalid()),
        };
        check_order(&items, &wanted, merge_key).ok_or_else(invalid)?;
        let server = match map.get(&name) {
            Some(Value::List(l)) => l.clone(),
            _ if items.is_empty() => continue,
            _ => Vec::new(),
        };
        let merged = merge_list(server.clone(), items, below)?;
        let ordered = order::normalize(merged, &wanted, &server, merge_key);
        map.set(name, Value::List(ordered));
    }
    Ok(())
}

/// The items that stay must be in the wanted list, in its order.
fn check_order(items: &[Value], wanted: &[Value], merge_key: Option<&str>) -> Option<()> {
    let mut last = 0;
    for item in items.iter().filter(|v| v.get(DIRECTIVE).is_none()) {
        let at = order::position(wanted, item, merge_key)?;
        if at < last {
            return None;
        }
        last = at;
    }
    Some(())
}

/// Merges without regard to order: new items come last.
fn merge_list(mut list: Vec<Value>, patch: Vec<Value>, place: Place<'_>) -> Result<Vec<Value>, PatchError> {
    let all_maps = list.iter().chain(&patch).all(|v| matches!(v, Value::Map(_)));
    let any_nested = list.iter().chain(&patch).any(|v| matches!(v, Value::Map(_) | Value::List(_)));
    if !all_maps && any_nested {
        return Err(PatchError::Unprocessable("lists of lists are not supported".to_owned()));
    }
    if !all_maps {
        for v in patch {
            if !list.iter().any(|old| same(old, &v)) {
                list.push(v);
            }
        }
        return Ok(list);
    }
    let Some(key) = place.merge_key() else {
        return Err(PatchError::Unprocessable("cannot merge lists without merge key".to_owned()));
    };
    let patch = special_items(&mut list, patch, key)?;
    for item in patch {
        let id = order::identity(&item, Some(key)).ok_or_else(|| no_merge_key(&item, key))?.clone();
        let old = list.iter_mut().find(|v| v.get(key).is_some_and(|other| same(other, &id)));
        match (old, item) {
            (Some(Value::Map(old)), Value::Map(item)) => merge_map(old, item, place.element())?,
            (_, item) => list.push(as_new(item)),
        }
    }
    Ok(list)
}

fn no_merge_key(item: &Value, key: &str) -> PatchError {
    let shown = crate::encode_plain(item);
    let shown = String::from_utf8_lossy(&shown);
    PatchError::Unprocessable(format!("map: {shown} does not contain declared merge key: {key}"))
}

/// Carries out `$patch` items and gives the others.
fn special_items(list: &mut Vec<Value>, patch: Vec<Value>, key: &str) -> Result<Vec<Value>, PatchError> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        let Some(directive) = item.get(DIRECTIVE) else {
            rest.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let id = item.get(key).ok_or_else(|| no_merge_key(&item, key))?;
                list.retain(|v| !v.get(key).is_some_and(|other| same(other, id)));
            }
            Some("replace") => replace = true,
            Some("merge") => return Err(bad("merging lists cannot yet be specified in the patch")),
            _ => {
                let shown = crate::encode_plain(&item);
                return Err(bad(format!("unknown patch type: {}", String::from_utf8_lossy(&shown))));
            }
        }
    }
    if replace {
        *list = rest;
        return Ok(Vec::new());
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{decode_plain, encode_plain};

    /// Works on a pod's spec.
    fn run(target: &str, patch: &str) -> Result<String, PatchError> {
        let ty = crate::type_named("v1", "PodSpec").expect("a built-in type");
        let mut v = decode_plain(target.as_bytes()).expect(target);
        strategic_merge(&mut v, decode_plain(patch.as_bytes()).expect(patch), ty)?;
        Ok(String::from_utf8_lossy(&encode_plain(&v)).into_owned())
    }

    fn check(cases: &[(&str, &str, &str)]) {
        for (target, patch, want) in cases {
            assert_eq!(run(target, patch).as_deref(), Ok(*want), "{target} + {patch}");
        }
    }

    #[test]
    fn maps() {
        check(&[
            (
                r#"{"nodeName":"a","hostname":"h"}"#,
                r#"{"nodeName":"b","hostname":null}"#,
                r#"{"nodeName":"b"}"#,
            ),
            (
                r#"{"nodeSelector":{"a":"1","b":"2"}}"#,
                r#"{"nodeSelector":{"a":null,"c":"3"}}"#,
                r#"{"nodeSelector":{"b":"2","c":"3"}}"#,
            ),
            (
                r#"{"nodeSelector":{"a":"1"}}"#,
                r#"{"nodeSelector":{"$patch":"replace","c":"3"}}"#,
                r#"{"nodeSelector":{"c":"3"}}"#,
            ),
            (
                r#"{"nodeSelector":{"a":"1"}}"#,
                r#"{"nodeSelector":{"$patch":"delete"}}"#,
                r#"{"nodeSelector":{}}"#,
            ),
            (
                r#"{}"#,
                r#"{"securityContext":{"runAsUser":1,"fsGroup":null}}"#,
                r#"{"securityContext":{"runAsUser":1}}"#,
            ),
        ]);
    }

    #[test]
    fn lists_of_maps() {
        check(&[
            (
                r#"{"containers":[{"name":"a","image":"1"},{"name":"b","image":"1"}]}"#,
                r#"{"containers":[{"name":"b","image":"2"}]}"#,
                r#"{"containers":[{"name":"a","image":"1"},{"name":"b","image":"2"}]}"#,
            ),
            // An item that only the patch knows comes before those that only the server knows.
            (
                r#"{"containers":[{"name":"a"}]}"#,
                r#"{"containers":[{"name":"c"}]}"#,
                r#"{"containers":[{"name":"c"},{"name":"a"}]}"#,
            ),
            (
                r#"{"containers":[{"name":"a"},{"name":"b"}]}"#,
                r#"{"containers":[{"name":"a","$patch":"delete"}]}"#,
                r#"{"containers":[{"name":"b"}]}"#,
            ),
            (
                r#"{"containers":[{"name":"a"},{"name":"b"}]}"#,
                r#"{"containers":[{"$patch":"replace"},{"name":"c"}]}"#,
                r#"{"containers":[{"name":"c"}]}"#,
            ),
            (
                r#"{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"x"}]}]}"#,
                r#"{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"y"}]}]}"#,
                r#"{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"y"}]}]}"#,
            ),
            // No strategy: replaced.
            (
                r#"{"tolerations":[{"key":"a"}]}"#,
                r#"{"tolerations":[{"key":"b"}]}"#,
                r#"{"tolerations":[{"key":"b"}]}"#,
            ),
            (
                r#"{"containers":[{"name":"a","args":["x"]}]}"#,
                r#"{"containers":[{"name":"a","args":["y"]}]}"#,
                r#"{"containers":[{"name":"a","args":["y"]}]}"#,
            ),
            (
                r#"{}"#,
                r#"{"containers":[{"name":"a","$patch":"delete"},{"name":"b"}]}"#,
                r#"{"containers":[{"name":"b"}]}"#,
            ),
        ]);
    }

    #[test]
    fn orders() {
        check(&[
            (
                r#"{"containers":[{"name":"a"},{"name":"b"}]}"#,
                r#"{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}"#,
                r#"{"containers":[{"name":"b"},{"name":"a"}]}"#,
            ),
            (
                r#"{"containers":[{"name":"a"},{"name":"s"},{"name":"b"}]}"#,
                r#"{"$setElementOrder/containers":[{"name":"b"},{"name":"c"}],"containers":[{"name":"c"},{"name":"a","$patch":"delete"}]}"#,
                r#"{"containers":[{"name":"s"},{"name":"b"},{"name":"c"}]}"#,
            ),
        ]);
        let outside = run(
            r#"{"containers":[{"name":"a"}]}"#,
            r#"{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"z"}]}"#,
        );
        assert!(matches!(outside, Err(PatchError::BadRequest(_))), "{outside:?}");
    }

    #[test]
    fn primitive_lists() {
        let ty = crate::type_named("meta.k8s.io/v1", "ObjectMeta").expect("a built-in type");
        let cases = [
            (r#"["a","b"]"#, r#"{"finalizers":["b","c"]}"#, r#"["a","b","c"]"#),
            (r#"["a","b"]"#, r#"{"$deleteFromPrimitiveList/finalizers":["a"]}"#, r#"["b"]"#),
            (
                r#"["a","b"]"#,
                r#"{"$deleteFromPrimitiveList/finalizers":["a"],"$setElementOrder/finalizers":["c","b"],"finalizers":["c"]}"#,
                r#"["c","b"]"#,
            ),
        ];
        for (target, patch, want) in cases {
            let mut v = decode_plain(format!(r#"{{"finalizers":{target}}}"#).as_bytes()).expect(target);
            strategic_merge(&mut v, decode_plain(patch.as_bytes()).expect(patch), ty).expect(patch);
            let got = encode_plain(v.get("finalizers").expect("still there"));
            assert_eq!(String::from_utf8_lossy(&got), want, "{target} + {patch}");
        }
    }

    #[test]
    fn retained_keys() {
        check(&[(
            r#"{"volumes":[{"name":"v","emptyDir":{"medium":"Memory"}}]}"#,
            r#"{"volumes":[{"name":"v","$retainKeys":["name","hostPath"],"hostPath":{"path":"/x"}}]}"#,
            r#"{"volumes":[{"name":"v","hostPath":{"path":"/x"}}]}"#,
        )]);
        let outside = run(r#"{}"#, r#"{"$retainKeys":["a"],"nodeName":"x"}"#);
        assert!(matches!(outside, Err(PatchError::BadRequest(_))), "{outside:?}");
    }

    #[test]
    fn refused() {
        for patch in [
            r#"[]"#,
            r#"{"$patch":"nope"}"#,
            r#"{"containers":[{"image":"x"}]}"#,
            r#"{"containers":["x"]}"#,
            r#"{"containers":[{"$patch":"merge"}]}"#,
            r#"{"containers":[{"$patch":"delete"}]}"#,
            r#"{"$setElementOrder/containers":1}"#,
        ] {
            assert!(run(r#"{"containers":[{"name":"a"}]}"#, patch).is_err(), "{patch}");
        }
    }
}

//! The order of a merged list: the patch decides about its items, the server about the others, and where both
//! know a pair, the server's order places them.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/strategicpatch/patch.go normalizeElementOrder

use super::same;
use crate::Value;

/// What identifies an item: the merge key's value, or the item itself.
pub fn identity<'v>(item: &'v Value, merge_key: Option<&str>) -> Option<&'v Value> {
    match merge_key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

pub fn position(list: &[Value], item: &Value, merge_key: Option<&str>) -> Option<usize> {
    let id = identity(item, merge_key)?;
    list.iter().position(|v| identity(v, merge_key).is_some_and(|other| same(id, other)))
}

/// Puts `merged` in order. `patch` is the patch's list or its `$setElementOrder`, `server` the list before.
pub fn normalize(
    merged: Vec<Value>,
    patch: &[Value],
    server: &[Value],
    merge_key: Option<&str>,
) -> Vec<Value> {
    let (mut ours, mut theirs): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|v| position(patch, v, merge_key).is_some());
    ours.sort_by_key(|v| position(patch, v, merge_key));
    theirs.sort_by_key(|v| position(server, v, merge_key).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(ours.len() + theirs.len());
    let (mut ours, mut theirs) = (ours.into_iter().peekable(), theirs.into_iter().peekable());
    loop {
        let their_turn = match (theirs.peek(), ours.peek()) {
            (Some(t), Some(o)) => {
                let (t, o) = (position(server, t, merge_key), position(server, o, merge_key));
                t.is_some() && o.is_some() && t < o
            }
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return out,
        };
        out.extend(if their_turn { theirs.next() } else { ours.next() });
    }
}

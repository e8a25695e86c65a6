//! Whether two values are equal. Values of different types are not, but numbers compare by what they are.
//! It must never do more work than it is given.
// k8s: github.com/google/cel-go common/types Equal; staging/src/k8s.io/apiserver/pkg/cel/common/values.go

use super::compare::order;
use super::data::{Key, List, Semantics, Value};
use crate::error::Error;
use std::cmp::Ordering;
use std::collections::HashMap;

/// Whether `a` and `b` are equal. Each comparison takes one of `work`.
///
/// # Errors
/// When `work` is used up.
pub fn equal(a: &Value<'_>, b: &Value<'_>, work: &mut u64) -> Result<bool, Error> {
    *work = work.checked_sub(1).ok_or(Error::over_budget())?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::List(a), Value::List(b)) => return lists(a, b, work),
        (Value::Map(a), Value::Map(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (key, value) in a.iter() {
                let Some(other) = b.get(&key) else { return Ok(false) };
                if !equal(&value, &other, work)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Object(a), Value::Object(b)) => {
            if a.name != b.name || a.fields.len() != b.fields.len() {
                return Ok(false);
            }
            for (name, value) in &a.fields {
                let Some(other) = b.get(name) else { return Ok(false) };
                if !equal(value, other, work)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
        (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Optional(Some(a)), Value::Optional(Some(b))) => return equal(a, b, work),
        (Value::Opaque(a), Value::Opaque(b)) => a.ty() == b.ty() && a.equals(&**b),
        (Value::Str(a), Value::Str(b)) => {
            let bytes = a.len().min(b.len()) as u64 / 64;
            *work = work.checked_sub(bytes).ok_or(Error::over_budget())?;
            **a == **b
        }
        _ => order(a, b) == Some(Ordering::Equal),
    })
}

fn lists(a: &List<'_>, b: &List<'_>, work: &mut u64) -> Result<bool, Error> {
    if a.len() != b.len() {
        return Ok(false);
    }
    match a.semantics() {
        Semantics::Atomic => {
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(&a, &b, work)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Semantics::Set => sets(a, b, work),
        Semantics::Keys(keys) => by_keys(a, b, keys, work),
    }
}

/// The same elements in whatever order.
fn sets(a: &List<'_>, b: &List<'_>, work: &mut u64) -> Result<bool, Error> {
    let others: HashMap<Key, ()> = b.iter().filter_map(|v| Some((Key::of(&v)?, ()))).collect();
    for value in a.iter() {
        let found = match Key::of(&value) {
            Some(key) => others.contains_key(&key),
            None => contains(b, &value, work)?,
        };
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a list has an equal element.
///
/// # Errors
/// When `work` is used up.
pub fn contains(list: &List<'_>, value: &Value<'_>, work: &mut u64) -> Result<bool, Error> {
    for element in list.iter() {
        if equal(value, &element, work)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The fields that tell elements apart.
pub(crate) fn identity(value: &Value<'_>, keys: &[String]) -> Vec<Option<Key>> {
    let Value::Map(map) = value else { return Vec::new() };
    keys.iter().map(|k| map.field(k).and_then(|v| Key::of(&v))).collect()
}

fn by_keys(a: &List<'_>, b: &List<'_>, keys: &[String], work: &mut u64) -> Result<bool, Error> {
    let others: HashMap<_, _> = b.iter().map(|v| (identity(&v, keys), v)).collect();
    for value in a.iter() {
        let Some(other) = others.get(&identity(&value, keys)) else { return Ok(false) };
        if !equal(&value, other, work)? {
            return Ok(false);
        }
    }
    Ok(true)
}

//! An applied configuration put into the live object: leaves are the configuration's, lists get its order where it
//! says one. It must never remove a field.
// k8s: structured-merge-diff/typed/merge.go

use std::collections::BTreeMap;

use schema::{Map, TypeRef, Value};

use crate::element::Element;
use crate::parts::{Part, elements, entries, step_to, zip};
use crate::place::{Atom, Place, Rel, Zeros};

/// The object with the configuration put in. Both are taken as they are.
///
/// # Errors
/// When the elements of a list cannot be told apart, or come twice in the configuration.
pub fn merge(live: &Value, config: &Value, ty: TypeRef<'_>) -> Result<Value, String> {
    Ok(node(Some(live), Some(config), Place::root(ty))?.unwrap_or_default())
}

fn node(live: Option<&Value>, config: Option<&Value>, place: Place<'_>) -> Result<Option<Value>, String> {
    let decides = config.filter(|v| !v.is_null()).or(live);
    let atom = place.atom(decides);
    let is_leaf = match atom {
        Atom::Scalar(_)
        | Atom::List { rel: Rel::Atomic, .. }
        | Atom::Struct { atomic: true, .. }
        | Atom::Map { atomic: true, .. } => true,
        Atom::List { .. } => elements(live).is_empty() && elements(config).is_empty(),
        Atom::Struct { .. } | Atom::Map { .. } => entries(live).is_empty() && entries(config).is_empty(),
    };
    if is_leaf {
        return Ok(config.or(live).cloned());
    }
    if let Atom::List { elem, rel } = atom {
        let merged = list(elements(live), elements(config), elem, rel)?;
        return Ok((!merged.is_empty()).then_some(Value::List(merged)));
    }
    let mut out = Map::new();
    zip(atom, live, config, Zeros::AsIs, &mut |part: &Part<'_, '_>| {
        let place = part.place.unwrap_or(Place::Deduced);
        if let Some(value) = node(part.left, part.right, place)? {
            out.0.push((part.name.key(), value));
        }
        Ok::<(), String>(())
    })?;
    Ok((!out.is_empty()).then_some(Value::Map(out)))
}

/// The steps to the elements of a list, with the element that each leads to: null where several do.
type Indexed<'v> = (Vec<Element>, BTreeMap<Element, &'v Value>);

static REPEATED: Value = Value::Null;

fn index<'v>(
    list: &'v [Value],
    elem: Place<'_>,
    rel: Rel<'_>,
    may_repeat: bool,
) -> Result<Indexed<'v>, String> {
    let (mut steps, mut found) = (Vec::with_capacity(list.len()), BTreeMap::new());
    for (at, item) in list.iter().enumerate() {
        let step = step_to(item, elem, rel, Zeros::AsIs).map_err(|e| format!("element {at}: {e}"))?;
        if found.contains_key(&step) && !may_repeat {
            return Err(format!("duplicate entries for key {step}"));
        }
        let value = if found.contains_key(&step) { &REPEATED } else { item };
        found.insert(step.clone(), value);
        steps.push(step);
    }
    Ok((steps, found))
}

/// Elements of both are in the configuration's order; elements that only the live list has keep their place among
/// their live neighbours.
fn list(live: &[Value], config: &[Value], elem: Place<'_>, rel: Rel<'_>) -> Result<Vec<Value>, String> {
    let (config_steps, in_config) = index(config, elem, rel, false)?;
    let (live_steps, in_live) = index(live, elem, rel, true)?;
    let mut shared = config_steps.iter().filter(|step| in_live.contains_key(*step)).peekable();
    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let mut merged: BTreeMap<&Element, ()> = BTreeMap::new();
    let (mut l, mut r) = (0, 0);
    while l < live_steps.len() || r < config_steps.len() {
        if let (Some(step), Some(wanted)) = (live_steps.get(l), config_steps.get(r)) {
            if step == wanted {
                merged.insert(wanted, ());
                out.extend(node(in_live.get(step).copied(), in_config.get(step).copied(), elem)?);
                l += 1;
                r += 1;
                shared.next();
                continue;
            }
            // Shared, but not the one whose turn it is.
            if in_config.contains_key(step) && shared.peek().is_some_and(|next| *next != step) {
                l += 1;
                continue;
            }
        }
        if let Some(step) = live_steps.get(l) {
            if !in_config.contains_key(step) {
                out.extend(node(live.get(l), None, elem)?);
                l += 1;
                continue;
            }
            if merged.contains_key(step) {
                l += 1;
            }
        }
        if let Some(step) = config_steps.get(r) {
            merged.insert(step, ());
            out.extend(node(in_live.get(step).copied(), in_config.get(step).copied(), elem)?);
            r += 1;
            shared.next_if(|next| *next == step);
        }
    }
    Ok(out)
}

/// The object with all that Go would write, which is what upstream merges into.
pub(crate) fn written(value: &Value, place: Place<'_>) -> Value {
    match place.atom(Some(value)) {
        Atom::List { elem, .. } => match value {
            Value::List(list) => Value::List(list.iter().map(|v| written(v, elem)).collect()),
            other => other.clone(),
        },
        atom @ (Atom::Struct { .. } | Atom::Map { .. }) if matches!(value, Value::Map(_)) => {
            let mut out = Map::new();
            let _ = zip(atom, Some(value), None, Zeros::Written, &mut |part: &Part<'_, '_>| {
                if let Some(value) = part.left {
                    let below = part.place.map_or_else(|| value.clone(), |place| written(value, place));
                    out.0.push((part.name.key(), below));
                }
                Ok::<(), ()>(())
            });
            Value::Map(out)
        }
        _ => value.clone(),
    }
}

//! Fields taken out of an object, or all others. It must never look at who owns them.
// k8s: structured-merge-diff/typed/remove.go, fieldpath/set.go EnsureNamedFieldsAreMembers

use schema::{Map, TypeRef, Value};

use crate::element::Element;
use crate::parts::{Part, step_to, zip};
use crate::place::{Atom, Place, Rel, Zeros};
use crate::set::{Node, Set};

/// The object without these fields.
#[must_use]
pub fn remove(value: &Value, fields: &Set, ty: TypeRef<'_>) -> Value {
    remove_at(value, fields, Place::root(ty))
}

/// Only these fields of the object.
#[must_use]
pub fn extract(value: &Value, fields: &Set, ty: TypeRef<'_>) -> Value {
    pick(value, fields, Place::root(ty), true)
}

pub(crate) fn remove_at(value: &Value, fields: &Set, place: Place<'_>) -> Value {
    pick(value, fields, place, false)
}

/// What is left; null where nothing is.
fn pick(value: &Value, fields: &Set, place: Place<'_>, keeps: bool) -> Value {
    let whole = || if keeps { value.clone() } else { Value::Null };
    let atom = place.atom(Some(value));
    match (atom, value) {
        (Atom::Scalar(_), v) => v.clone(),
        (Atom::List { elem, rel }, Value::List(list)) => {
            if list.is_empty() || rel == Rel::Atomic {
                return whole();
            }
            let left: Vec<Value> =
                list.iter().filter_map(|item| of_list(item, fields, elem, rel, keeps)).collect();
            if left.is_empty() { Value::Null } else { Value::List(left) }
        }
        (Atom::Struct { atomic, .. } | Atom::Map { atomic, .. }, Value::Map(map)) => {
            if map.is_empty() || atomic {
                return whole();
            }
            let mut out = Map::new();
            let _ = zip(atom, Some(value), None, Zeros::AsIs, &mut |part: &Part<'_, '_>| {
                if let Some(left) = of_map(part, fields, keeps) {
                    out.0.push((part.name.key(), left));
                }
                Ok::<(), ()>(())
            });
            if out.is_empty() { Value::Null } else { Value::Map(out) }
        }
        _ => Value::Null,
    }
}

fn of_list(item: &Value, fields: &Set, elem: Place<'_>, rel: Rel<'_>, keeps: bool) -> Option<Value> {
    let node = step_to(item, elem, rel, Zeros::AsIs).ok().and_then(|step| fields.node(&step));
    let Some(node) = node else { return (!keeps).then(|| item.clone()) };
    if node.member && !keeps {
        return None;
    }
    if node.children.is_empty() { Some(item.clone()) } else { Some(pick(item, &node.children, elem, keeps)) }
}

fn of_map(part: &Part<'_, '_>, fields: &Set, keeps: bool) -> Option<Value> {
    let value = part.left?;
    let Some(node) = fields.node(&part.name.element()) else { return (!keeps).then(|| value.clone()) };
    if node.member && !keeps {
        return None;
    }
    // What is owned without its parts is there without them.
    let below = &node.children;
    if below.is_empty() && !keeps {
        return Some(value.clone());
    }
    Some(pick(value, below, part.place.unwrap_or(Place::Deduced), keeps))
}

/// The set with every field of a struct as a member that has members below it.
pub(crate) fn with_named_fields(set: &Set, place: Option<Place<'_>>) -> Set {
    let nodes = set.nodes().iter().map(|node| {
        let below = place.and_then(|place| step_into(place, &node.element));
        let named = matches!(below, Some((_, true))) && !node.children.is_empty();
        Node {
            element: node.element.clone(),
            member: node.member || named,
            children: with_named_fields(&node.children, below.map(|(place, _)| place)),
        }
    });
    Set::from_nodes(nodes.collect())
}

/// The place below, and whether a field of a struct leads there.
fn step_into<'t>(place: Place<'t>, element: &Element) -> Option<(Place<'t>, bool)> {
    // Without a value a place of any sort is a map for names and a list for keys.
    let below = place.step(element, None)?;
    let named = match (place.atom(None), element) {
        (Atom::Struct { ty, .. }, Element::Field(name)) => ty.field(name).is_some(),
        _ => false,
    };
    matches!(element, Element::Field(_) | Element::Key(_)).then_some((below, named))
}

/// Brings a set in line with a type that has become more of one piece since the set was written: who owned parts of
/// what is one unit now owns the unit. Says whether anything changed.
// k8s: structured-merge-diff/typed/reconcile_schema.go
pub(crate) fn reconcile(set: &mut Set, place: Place<'_>) -> bool {
    let mut changed = false;
    for node in set.nodes_mut() {
        let Some(below) = place.step(&node.element, None) else { continue };
        if below.is_any() || node.children.is_empty() {
            continue;
        }
        let is_unit = match below.atom(None) {
            Atom::Struct { atomic, .. } | Atom::Map { atomic, .. } => atomic,
            Atom::List { rel, .. } => rel == Rel::Atomic,
            Atom::Scalar(_) => false,
        };
        if is_unit {
            node.member = true;
            node.children = Set::new();
            changed = true;
        } else {
            changed |= reconcile(&mut node.children, below);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Set {
        crate::fields_v1::decode(text).expect(text)
    }

    #[test]
    fn parts_of_what_is_one_unit_now() {
        let ty = schema::type_of("apps", "v1", "Deployment").expect("a type");
        let cases = [
            // A label selector is one unit.
            (
                r#"{"f:spec":{"f:selector":{"f:matchLabels":{"f:a":{}}},"f:replicas":{}}}"#,
                r#"{"f:spec":{"f:replicas":{},"f:selector":{}}}"#,
            ),
            (r#"{"f:spec":{"f:template":{"f:metadata":{"f:labels":{"f:a":{}}}}}}"#, ""),
            (r#"{"f:gone":{"f:x":{}}}"#, ""),
        ];
        for (text, want) in cases {
            let mut got = set(text);
            let changed = reconcile(&mut got, Place::root(ty));
            assert_eq!(changed, !want.is_empty(), "{text}");
            assert_eq!(got, set(if want.is_empty() { text } else { want }), "{text}");
        }
    }
}

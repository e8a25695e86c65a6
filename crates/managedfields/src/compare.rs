//! What changes between two states of an object, in the units in which fields are owned.
//! It must never build the path of a part that has not changed.
// k8s: structured-merge-diff/typed/compare.go

use schema::{TypeRef, Value};

use crate::element::{Element, same};
use crate::parts::{Part, elements, entries, is_empty_struct, step_to, zip};
use crate::place::{Atom, Place, Rel, Zeros};
use crate::set::{Node, Set};

/// Fields that were removed, changed and added. A field is in at most one of the sets, unless a list has elements
/// that repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub removed: Set,
    pub modified: Set,
    pub added: Set,
}

impl Comparison {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// Leaves out what lies at and below these fields.
    pub(crate) fn without(&mut self, paths: &[&[&str]]) {
        for path in paths {
            for set in [&mut self.removed, &mut self.modified, &mut self.added] {
                set.remove_below(path);
            }
        }
    }
}

/// Compares two objects of a type that were decoded by it.
///
/// # Errors
/// When the elements of a list cannot be told apart.
pub fn compare(left: &Value, right: &Value, ty: TypeRef<'_>) -> Result<Comparison, String> {
    compare_at(left, right, Place::root(ty), Zeros::Written)
}

pub(crate) fn compare_at(
    left: &Value,
    right: &Value,
    place: Place<'_>,
    zeros: Zeros,
) -> Result<Comparison, String> {
    let mut level = Level::default();
    node(Some(left), Some(right), place, zeros, &mut level)?;
    Ok(level.finish())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Removed,
    Modified,
    Added,
}

/// What was found so far at and below one place.
#[derive(Default)]
struct Level {
    removed: Vec<Node>,
    modified: Vec<Node>,
    added: Vec<Node>,
    own: [bool; 3],
}

impl Level {
    fn mark(&mut self, change: Change) {
        self.own[change as usize] = true;
    }

    /// Takes over what was found at the place below that `element` leads to.
    fn attach(&mut self, element: impl FnOnce() -> Element, below: Level) {
        let Level { removed, modified, added, own } = below;
        if own == [false; 3] && removed.is_empty() && modified.is_empty() && added.is_empty() {
            return;
        }
        let element = element();
        let lists = [&mut self.removed, &mut self.modified, &mut self.added];
        for ((list, found), member) in lists.into_iter().zip([removed, modified, added]).zip(own) {
            let children = Set::from_repeated_if_needed(found);
            if member || !children.is_empty() {
                list.push(Node { element: element.clone(), member, children });
            }
        }
    }

    fn finish(self) -> Comparison {
        Comparison {
            removed: Set::from_repeated_if_needed(self.removed),
            modified: Set::from_repeated_if_needed(self.modified),
            added: Set::from_repeated_if_needed(self.added),
        }
    }
}

fn node(
    left: Option<&Value>,
    right: Option<&Value>,
    place: Place<'_>,
    zeros: Zeros,
    level: &mut Level,
) -> Result<(), String> {
    let both_sorts = place.is_any()
        && match (left, right) {
            (Some(l), Some(r)) => !l.is_null() && !r.is_null() && sort(l) != sort(r),
            _ => false,
        };
    if both_sorts {
        atom(left, right, place.atom(left), zeros, level)?;
    }
    atom(left, right, place.atom(right.filter(|v| !v.is_null()).or(left)), zeros, level)?;
    match (left, right) {
        (None, _) => level.mark(Change::Added),
        (_, None) => level.mark(Change::Removed),
        _ => {}
    }
    Ok(())
}

const fn sort(value: &Value) -> u8 {
    match value {
        Value::Map(_) => 0,
        Value::List(_) => 1,
        _ => 2,
    }
}

fn atom(
    left: Option<&Value>,
    right: Option<&Value>,
    atom: Atom<'_>,
    zeros: Zeros,
    level: &mut Level,
) -> Result<(), String> {
    let is_leaf = match atom {
        Atom::Scalar(_) => true,
        Atom::List { rel, .. } => {
            rel == Rel::Atomic || (elements(left).is_empty() && elements(right).is_empty())
        }
        Atom::Map { atomic, .. } => atomic || (entries(left).is_empty() && entries(right).is_empty()),
        Atom::Struct { ty, atomic } => {
            atomic || (is_empty_struct(left, ty, zeros) && is_empty_struct(right, ty, zeros))
        }
    };
    if is_leaf {
        if let (Some(l), Some(r)) = (left, right)
            && !same(l, r)
        {
            level.mark(Change::Modified);
        }
        return Ok(());
    }
    if let Atom::List { elem, rel } = atom {
        return list(elements(left), elements(right), elem, rel, zeros, level);
    }
    zip(atom, left, right, zeros, &mut |part: &Part<'_, '_>| {
        let Some(place) = part.place else { return Ok(()) };
        let mut below = Level::default();
        node(part.left, part.right, place, zeros, &mut below)?;
        level.attach(|| part.name.element(), below);
        Ok(())
    })
}

struct Item<'v> {
    element: Element,
    is_right: bool,
    value: &'v Value,
}

fn list(
    left: &[Value],
    right: &[Value],
    elem: Place<'_>,
    rel: Rel<'_>,
    zeros: Zeros,
    level: &mut Level,
) -> Result<(), String> {
    if left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r)) {
        return Ok(());
    }
    let mut items = Vec::with_capacity(left.len() + right.len());
    for (values, is_right) in [(left, false), (right, true)] {
        for (at, value) in values.iter().enumerate() {
            let element = step_to(value, elem, rel, zeros).map_err(|e| format!("element {at}: {e}"))?;
            items.push(Item { element, is_right, value });
        }
    }
    // Stable: equal elements keep left before right, and their order.
    items.sort_by(|a, b| a.element.cmp(&b.element));
    for group in items.chunk_by(|a, b| a.element == b.element) {
        let (l, r) = group.split_at(group.iter().take_while(|i| !i.is_right).count());
        let mut below = Level::default();
        let (first_left, first_right) = (l.first().map(|i| i.value), r.first().map(|i| i.value));
        match (l.len(), r.len()) {
            (0 | 1, 0 | 1) => node(first_left, first_right, elem, zeros, &mut below)?,
            // Repeated elements are owned as one.
            (2.., 2..) => {
                if l.len() != r.len() || !l.iter().zip(r).all(|(l, r)| same(l.value, r.value)) {
                    below.mark(Change::Modified);
                }
            }
            (2.., _) => {
                if first_right.is_some() {
                    node(None, first_right, elem, zeros, &mut below)?;
                }
                below.mark(Change::Removed);
            }
            (_, _) => {
                if first_left.is_some() {
                    node(first_left, None, elem, zeros, &mut below)?;
                }
                below.mark(Change::Added);
            }
        }
        level.attach(|| group[0].element.clone(), below);
    }
    Ok(())
}

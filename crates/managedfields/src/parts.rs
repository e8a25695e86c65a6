//! The parts of a value, side by side with those of another: fields of structs in the table's order, entries of maps,
//! elements of lists with the step that leads to each. It must never copy a part.
// k8s: structured-merge-diff/typed/helpers.go, value/structreflect.go

use std::borrow::Cow;

use schema::{FieldRef, Key, Map, TypeRef, Value, decode_plain};

use crate::element::Element;
use crate::place::{Atom, Place, Rel, Zeros, field_place, place_of};

static NO_ENTRIES: Map = Map::new();

/// The map in a value; null and anything else have no entries.
pub(crate) fn entries(value: Option<&Value>) -> &Map {
    match value {
        Some(Value::Map(map)) => map,
        _ => &NO_ENTRIES,
    }
}

/// The list in a value; null and anything else have no elements.
pub(crate) fn elements(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::List(list)) => list,
        _ => &[],
    }
}

/// The fields of one struct value, asked for in the table's order.
pub(crate) struct Fields<'v> {
    entries: &'v [(Key, Value)],
    /// The struct is there at all.
    is_there: bool,
    at: usize,
    /// Entries stand in the table's order, as decoders leave them.
    in_order: bool,
    zeros: Zeros,
}

impl<'v> Fields<'v> {
    pub fn of(value: Option<&'v Value>, ty: TypeRef<'_>, zeros: Zeros) -> Self {
        let entries = &entries(value).0;
        let is_there = matches!(value, Some(Value::Map(_)));
        Fields { entries, is_there, at: 0, in_order: in_order(entries, ty), zeros }
    }

    /// The value of the next field.
    pub fn next(&mut self, field: FieldRef<'_>) -> Option<&'v Value> {
        let found = match self.entries.get(self.at) {
            Some((key, value)) if key == field.name() => {
                self.at += 1;
                Some(value)
            }
            _ if self.in_order => None,
            _ => self.entries.iter().find(|(key, _)| key == field.name()).map(|(_, v)| v),
        };
        counted(found, self.is_there, field, self.zeros)
    }
}

/// The value of a field as far as it counts as there.
fn counted<'v>(
    found: Option<&'v Value>,
    is_there: bool,
    field: FieldRef<'_>,
    zeros: Zeros,
) -> Option<&'v Value> {
    match (zeros, found) {
        (Zeros::AsIs, found) => found,
        (Zeros::Written, Some(v)) if !v.is_null() && !field.is_dropped(v) => Some(v),
        (Zeros::Written, _) if is_there => field.written_zero(),
        (Zeros::Written, _) => None,
    }
}

fn in_order(entries: &[(Key, Value)], ty: TypeRef<'_>) -> bool {
    let mut left = entries.iter().peekable();
    for field in ty.fields() {
        if left.peek().is_none() {
            return true;
        }
        left.next_if(|(key, _)| key == field.name());
    }
    left.peek().is_none()
}

/// The entries of a struct that its type does not have.
pub(crate) fn unknown<'v>(value: Option<&'v Value>, ty: TypeRef<'_>) -> Vec<(&'v Key, &'v Value)> {
    let entries = &entries(value).0;
    if in_order(entries, ty) {
        return Vec::new();
    }
    entries.iter().filter(|(key, _)| ty.field(key).is_none()).map(|(key, value)| (key, value)).collect()
}

/// Whether a struct has no field that counts as there.
pub(crate) fn is_empty_struct(value: Option<&Value>, ty: TypeRef<'_>, zeros: Zeros) -> bool {
    let map = entries(value);
    if zeros == Zeros::AsIs || !matches!(value, Some(Value::Map(_))) {
        return map.is_empty();
    }
    let mut fields = Fields::of(value, ty, zeros);
    ty.fields().all(|f| fields.next(f).is_none()) && unknown(value, ty).is_empty()
}

/// The step that leads to an element of a list.
///
/// # Errors
/// When the element has none, in upstream's words.
pub(crate) fn step_to(item: &Value, elem: Place<'_>, rel: Rel<'_>, zeros: Zeros) -> Result<Element, String> {
    match (rel, item) {
        (Rel::Atomic, _) => Err("invalid indexing of non-associative list".to_owned()),
        (Rel::Keys(keys), _) => keyed(item, elem, keys, zeros),
        (Rel::Set, Value::Map(_)) => {
            Err("associative list without keys has an element that's a map type".to_owned())
        }
        (Rel::Set, Value::List(_)) => {
            Err("not supported: associative list with lists as elements".to_owned())
        }
        (Rel::Set, Value::Null) => {
            Err("associative list without keys has an element that's an explicit null".to_owned())
        }
        (Rel::Set, scalar) => Ok(Element::Value(scalar.clone())),
    }
}

fn keyed(item: &Value, elem: Place<'_>, keys: &[Key], zeros: Zeros) -> Result<Element, String> {
    let map = match item {
        Value::Map(map) => map,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut found: Vec<(Key, Value)> = Vec::with_capacity(keys.len());
    for key in keys {
        let given = map.get(key).filter(|v| zeros == Zeros::AsIs || !v.is_null());
        let value = match given {
            Some(v) => Some(Cow::Borrowed(v)),
            None => default_of(elem, item, key),
        };
        found.extend(value.map(|v| (key.clone(), v.into_owned())));
    }
    if found.is_empty() {
        let keys: Vec<String> = keys.iter().map(|k| meta::field::quoted(k)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            keys.join(" ")
        ));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Element::Key(found.into()))
}

/// What a key field is worth where it is absent.
fn default_of<'v>(elem: Place<'_>, item: &Value, key: &str) -> Option<Cow<'v, Value>> {
    let Atom::Struct { ty, .. } = elem.atom(Some(item)) else { return None };
    let field = ty.field(key)?;
    if let Some(json) = field.default_json() {
        return decode_plain(json.as_bytes()).ok().map(Cow::Owned);
    }
    field.written_zero().filter(|zero| !zero.is_null()).map(Cow::Borrowed)
}

/// Calls `f` for every part of a map or struct that is there on either side.
///
/// # Errors
/// Those of `f`.
pub(crate) fn zip<'v, 't, E>(
    atom: Atom<'t>,
    left: Option<&'v Value>,
    right: Option<&'v Value>,
    zeros: Zeros,
    f: &mut dyn FnMut(&Part<'t, 'v>) -> Result<(), E>,
) -> Result<(), E> {
    match atom {
        Atom::Struct { ty, .. } => {
            let (mut l, mut r) = (Fields::of(left, ty, zeros), Fields::of(right, ty, zeros));
            for field in ty.fields() {
                let (left, right) = (l.next(field), r.next(field));
                if left.is_some() || right.is_some() {
                    f(&Part { name: Name::Field(field), place: Some(place_of(field)), left, right })?;
                }
            }
            if l.in_order && r.in_order {
                return Ok(());
            }
            let (l, r) = (unknown(left, ty), unknown(right, ty));
            for (key, value) in &l {
                let other = r.iter().find(|(k, _)| k == key).map(|(_, v)| *v);
                let place = field_place(ty, key);
                f(&Part { name: Name::Entry(key), place, left: Some(value), right: other })?;
            }
            for (key, value) in r.iter().filter(|(key, _)| l.iter().all(|(k, _)| k != key)) {
                f(&Part {
                    name: Name::Entry(key),
                    place: field_place(ty, key),
                    left: None,
                    right: Some(value),
                })?;
            }
            Ok(())
        }
        Atom::Map { elem, .. } => zip_maps(elem, entries(left), entries(right), f),
        Atom::Scalar(_) | Atom::List { .. } => Ok(()),
    }
}

fn zip_maps<'v, 't, E>(
    elem: Place<'t>,
    left: &'v Map,
    right: &'v Map,
    f: &mut dyn FnMut(&Part<'t, 'v>) -> Result<(), E>,
) -> Result<(), E> {
    let (l, r) = (sorted(left), sorted(right));
    let (mut l, mut r) = (l.iter().copied().peekable(), r.iter().copied().peekable());
    loop {
        let order = match (l.peek(), r.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.0.cmp(&b.0),
        };
        let a = if order.is_le() { l.next() } else { None };
        let b = if order.is_ge() { r.next() } else { None };
        let Some((key, _)) = a.or(b) else { return Ok(()) };
        let part =
            Part { name: Name::Entry(key), place: Some(elem), left: a.map(|a| &a.1), right: b.map(|b| &b.1) };
        f(&part)?;
    }
}

fn sorted(map: &Map) -> Cow<'_, [&(Key, Value)]> {
    let mut all: Vec<&(Key, Value)> = map.0.iter().collect();
    if !all.is_sorted_by(|a, b| a.0 <= b.0) {
        all.sort_by(|a, b| a.0.cmp(&b.0));
    }
    Cow::Owned(all)
}

/// A part of a map or a struct.
pub(crate) struct Part<'t, 'v> {
    pub name: Name<'t, 'v>,
    /// `None` where the type has no such field.
    pub place: Option<Place<'t>>,
    pub left: Option<&'v Value>,
    pub right: Option<&'v Value>,
}

/// What a part is called.
#[derive(Clone, Copy)]
pub(crate) enum Name<'t, 'v> {
    /// A field that the type has.
    Field(FieldRef<'t>),
    /// An entry of a map, or a field that the type does not have.
    Entry(&'v Key),
}

impl Name<'_, '_> {
    pub fn key(self) -> Key {
        match self {
            Name::Field(field) => field.key(),
            Name::Entry(key) => key.clone(),
        }
    }

    pub fn element(self) -> Element {
        Element::Field(self.key())
    }
}

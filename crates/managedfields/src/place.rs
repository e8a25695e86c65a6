//! How server-side apply sees the types of the field table: what a place in an object may hold, and in what units
//! it is owned. It must never decide by the name of a kind.
// k8s: structured-merge-diff/schema/elements.go, kube-openapi/pkg/schemaconv

use schema::table::Type;
use schema::{FieldRef, Key, ListType, Shape, TypeRef, Value};

use crate::element::Element;

/// A place in an object: its type, with what the field that leads there says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'t> {
    Table {
        ty: TypeRef<'t>,
        field: Option<Marks<'t>>,
    },
    /// Anything; the parts of maps are owned one by one.
    Deduced,
    /// Anything, as one unit.
    Whole,
}

/// What a field says about the place that it leads to.
#[derive(Clone, Copy)]
pub(crate) struct Marks<'t>(FieldRef<'t>);

impl std::fmt::Debug for Marks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

/// What a place holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Atom<'t> {
    Scalar(Scalar),
    Struct { ty: TypeRef<'t>, atomic: bool },
    Map { elem: Place<'t>, atomic: bool },
    List { elem: Place<'t>, rel: Rel<'t> },
}

/// The sorts of scalars that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Numeric,
    Text,
    Boolean,
    Any,
}

/// How the elements of a list are found again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rel<'t> {
    Atomic,
    Set,
    Keys(&'t [Key]),
}

/// Whether fields that Go always writes count as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zeros {
    /// The value was decoded by its type: what is absent is what Go would write, a dropped zero is absent.
    Written,
    /// The value is as it is.
    AsIs,
}

impl<'t> Place<'t> {
    pub fn root(ty: TypeRef<'t>) -> Self {
        Place::Table { ty, field: None }
    }

    fn of_field(field: FieldRef<'t>) -> Self {
        Place::Table { ty: field.ty(), field: Some(Marks(field)) }
    }

    const fn unmarked(ty: TypeRef<'t>) -> Self {
        Place::Table { ty, field: None }
    }

    /// What the place holds, where `value` decides between several sorts.
    pub fn atom(self, value: Option<&Value>) -> Atom<'t> {
        match self {
            Place::Table { ty, field } => table_atom(ty, field.map(|m| m.0), value),
            Place::Deduced => any(value, Place::Deduced, false),
            Place::Whole => any(value, Place::Whole, true),
        }
    }

    /// Whether values of different sorts are possible here.
    pub fn is_any(self) -> bool {
        match self {
            Place::Table { ty, .. } => is_any(ty),
            Place::Deduced | Place::Whole => true,
        }
    }

    /// The place that a step leads to; `None` where the type has no such step.
    pub fn step(self, element: &Element, below: Option<&Value>) -> Option<Place<'t>> {
        match (self.atom(below), element) {
            (Atom::Struct { ty, .. }, Element::Field(name)) => field_place(ty, name),
            (Atom::Map { elem, .. }, Element::Field(_)) => Some(elem),
            (Atom::List { elem, .. }, Element::Key(_) | Element::Value(_) | Element::Index(_)) => Some(elem),
            _ => None,
        }
    }
}

/// The place of a field of a struct; open structs have fields of any name.
pub(crate) fn field_place<'t>(ty: TypeRef<'t>, name: &str) -> Option<Place<'t>> {
    match ty.field(name) {
        Some(field) => Some(Place::of_field(field)),
        None => is_open(ty).then_some(Place::Deduced),
    }
}

pub(crate) fn place_of(field: FieldRef<'_>) -> Place<'_> {
    Place::of_field(field)
}

/// Whether fields of any name are taken: a struct without fields is anything for upstream's schema.
pub(crate) fn is_open(ty: TypeRef<'_>) -> bool {
    ty.is_open() || ty.fields().next().is_none()
}

fn is_any(ty: TypeRef<'_>) -> bool {
    matches!(
        ty.scalar(),
        Type::RawExtension
            | Type::FieldsV1
            | Type::Json
            | Type::Any
            | Type::SchemaOrArray(_)
            | Type::SchemaOrBool(_)
            | Type::SchemaOrStrings(_)
    )
}

fn any<'t>(value: Option<&Value>, below: Place<'t>, whole: bool) -> Atom<'t> {
    match value {
        None | Some(Value::Null | Value::Map(_)) => Atom::Map { elem: below, atomic: whole },
        Some(Value::List(_)) => Atom::List { elem: Place::Whole, rel: Rel::Atomic },
        Some(_) => Atom::Scalar(Scalar::Any),
    }
}

fn table_atom<'t>(ty: TypeRef<'t>, field: Option<FieldRef<'t>>, value: Option<&Value>) -> Atom<'t> {
    match ty.shape() {
        Shape::Struct => {
            let atomic = field.map_or(ty.is_atomic(), FieldRef::is_atomic);
            Atom::Struct { ty, atomic }
        }
        Shape::Map(elem) => {
            Atom::Map { elem: Place::unmarked(elem), atomic: field.is_some_and(FieldRef::is_atomic) }
        }
        Shape::List(elem) => {
            let rel = match field.and_then(FieldRef::list_type) {
                Some(ListType::Set) => Rel::Set,
                Some(ListType::Map) => Rel::Keys(field.map_or(&[], FieldRef::list_keys)),
                Some(ListType::Atomic) | None => Rel::Atomic,
            };
            Atom::List { elem: Place::unmarked(elem), rel }
        }
        Shape::Scalar => match ty.scalar() {
            Type::RawExtension => any(value, Place::Whole, true),
            _ if is_any(ty) => any(value, Place::Deduced, false),
            Type::Bool => Atom::Scalar(Scalar::Boolean),
            Type::Int32 | Type::Int64 | Type::Float => Atom::Scalar(Scalar::Numeric),
            Type::String | Type::Named(_) | Type::Bytes | Type::Duration => Atom::Scalar(Scalar::Text),
            _ => Atom::Scalar(Scalar::Any),
        },
    }
}

impl Scalar {
    /// What is wrong with a value, as upstream words it.
    pub fn complaint(self, value: &Value) -> Option<String> {
        let (fits, wanted) = match (self, value) {
            (_, Value::Null) => return None,
            (Scalar::Numeric, v) => (matches!(v, Value::Int(_) | Value::Float(_)), "numeric (int or float)"),
            (Scalar::Text, v) => (matches!(v, Value::Str(_)), "string"),
            (Scalar::Boolean, v) => (matches!(v, Value::Bool(_)), "boolean"),
            (Scalar::Any, v) => (!matches!(v, Value::List(_) | Value::Map(_)), "any scalar"),
        };
        (!fits).then(|| format!("expected {wanted}, got {}", self.shown(value)))
    }

    /// Upstream shows the Go type of what is no number, Go syntax of what is no text, and else the value.
    fn shown(self, value: &Value) -> String {
        match (self, value) {
            (Scalar::Numeric, Value::Str(_)) => "string".to_owned(),
            (Scalar::Numeric, Value::Bool(_)) => "bool".to_owned(),
            (Scalar::Numeric, Value::List(_)) => "[]interface {}".to_owned(),
            (Scalar::Numeric, Value::Map(_)) => "map[string]interface {}".to_owned(),
            (Scalar::Text, v) => {
                let (of, text) = (go_type(v), crate::element::text(v));
                match v {
                    Value::List(_) | Value::Map(_) => of.to_owned(),
                    _ => format!("&value.valueUnstructured{{Value:{text}}}"),
                }
            }
            (_, v) => go_value(v),
        }
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "list",
        Value::Map(_) => "map",
        _ => "scalar",
    }
}

/// A value as Go prints one with `%v`.
pub(crate) fn go_value(value: &Value) -> String {
    match value {
        Value::Str(s) => format!("&{{{s}}}"),
        Value::List(_) | Value::Map(_) => format!("&{{{}}}", crate::element::text(value)),
        other => format!("&{{{}}}", crate::element::text(other)),
    }
}

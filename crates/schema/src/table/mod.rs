//! The field table: what the types of the API look like. Built-in types come from a generated file; a custom
//! resource's schema becomes a [`Table`] of its own at run time, and everything else is the same code.
//! It must never hold behaviour of a kind: only names, numbers, shapes and markers.

mod builtin;
mod load;
mod reference;
mod zero;

use std::ops::Range;

use crate::Key;

pub use builtin::{builtin, named_types, type_named, type_of};
pub use load::LoadError;
pub use reference::{FieldRef, Fields, HeldType, ListType, Shape, TypeRef};

/// A type, as an index into its table where it has parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    String,
    /// A string with a name, maybe an enum.
    Named(u16),
    Int32,
    Int64,
    /// 64-bit floating point.
    Float,
    /// Base64 in JSON.
    Bytes,
    /// RFC 3339, whole seconds, UTC.
    Time,
    /// RFC 3339, microseconds, UTC.
    MicroTime,
    /// Go duration text.
    Duration,
    Quantity,
    IntOrString,
    /// An embedded object, kept as it is.
    RawExtension,
    /// A set of fields: text that holds the JSON without white space between its tokens.
    FieldsV1,
    /// Any JSON, a message with the raw text on the wire.
    Json,
    /// Any JSON; not on the protobuf wire.
    Any,
    /// A schema or a list of schemas (the struct is the schema's).
    SchemaOrArray(u16),
    /// A schema or a boolean.
    SchemaOrBool(u16),
    /// A schema or a list of strings.
    SchemaOrStrings(u16),
    Struct(u16),
    List(u16),
    /// A list that is a message with one repeated field on the wire.
    MessageList(u16),
    /// Text keys.
    Map(u16),
}

/// A field of a struct.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub name: Key,
    pub ty: Type,
    pub flags: u8,
    /// Protobuf number, 0 when not on the wire.
    pub number: u16,
    /// Index into `Table::markers`; 0 has none.
    pub markers: u16,
}

impl Field {
    /// Dropped from JSON when empty.
    pub const OMITEMPTY: u8 = 1;
    /// Dropped from JSON when the zero value of a struct.
    pub const OMITZERO: u8 = 2;
    /// May be nil: a zero value is not absence.
    pub const POINTER: u8 = 4;
    /// Belongs to an inlined struct: not a field of this message on the wire.
    pub const INLINED: u8 = 8;
    /// Must be there by OpenAPI.
    pub const REQUIRED: u8 = 16;

    pub const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What a field's markers say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Markers {
    pub list: Option<ListType>,
    pub keys: Vec<Key>,
    /// Map or struct that is one unit for server-side apply.
    pub atomic: bool,
    pub granular: bool,
    /// `merge`, `replace`, `retainKeys`, or two of them with a comma.
    pub patch_strategy: Option<Key>,
    pub patch_merge_key: Option<Key>,
    /// JSON text.
    pub default: Option<Key>,
}

/// A struct.
#[derive(Clone, Debug)]
pub(crate) struct Struct {
    /// `apps/v1.DeploymentSpec`.
    pub name: Key,
    pub fields: Range<u32>,
    /// Ascending protobuf numbers.
    pub wire: Range<u32>,
    pub flags: u8,
}

impl Struct {
    /// Has kind and apiVersion.
    pub const KIND: u8 = 1;
    /// One unit for server-side apply.
    pub const ATOMIC: u8 = 2;
    /// Has no protobuf form.
    pub const NO_PROTOBUF: u8 = 4;
    /// It or something below has a `default` marker.
    pub const DEFAULTS: u8 = 8;
    /// Keeps fields it does not know, nulls, and what has the wrong type: validation judges (custom resources).
    /// Its fields are sorted by name, and it is written in that order.
    pub const OPEN: u8 = 16;

    pub const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What a protobuf number of a message is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire {
    /// Index into `Table::fields`.
    Field(u32),
    /// A struct whose fields are inlined in JSON.
    Inlined(u16),
}

/// A string type with a name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// `v1.Protocol` with its group: `v1.Protocol`, `apps/v1.DeploymentStrategyType`.
    pub name: Key,
    /// Sorted; empty when open.
    pub values: Vec<Key>,
}

/// The types of one API, or of one custom resource.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Sorted by name.
    pub(crate) structs: Vec<Struct>,
    /// Other names of structs, sorted.
    pub(crate) aliases: Vec<(Key, u16)>,
    pub(crate) fields: Vec<Field>,
    pub(crate) markers: Vec<Markers>,
    pub(crate) wire: Vec<(u16, Wire)>,
    pub(crate) elems: Vec<Type>,
    pub(crate) named: Vec<Named>,
    /// Lists and maps of elements from this number on keep what has the wrong type, as open structs do.
    pub(crate) loose_from: Option<u16>,
}

impl Table {
    /// Whether a value of the type may be anything, for validation to judge.
    pub(crate) fn is_loose(&self, ty: Type) -> bool {
        match ty {
            Type::Struct(id) => self.structs[id as usize].is(Struct::OPEN),
            Type::List(e) | Type::Map(e) => self.loose_from.is_some_and(|from| e >= from),
            _ => false,
        }
    }

    /// Puts structs that were made in any order in that of their names.
    pub(crate) fn sort_structs(&mut self) {
        let mut order: Vec<usize> = (0..self.structs.len()).collect();
        order.sort_by(|a, b| self.structs[*a].name.cmp(&self.structs[*b].name));
        let mut places = vec![0u16; order.len()];
        for (new, old) in (0u16..).zip(&order) {
            places[*old] = new;
        }
        self.structs = order.iter().map(|old| self.structs[*old].clone()).collect();
        let fields = self.fields.iter_mut().map(|f| &mut f.ty);
        for ty in fields.chain(self.elems.iter_mut()) {
            if let Type::Struct(id) = ty {
                *id = places[*id as usize];
            }
        }
    }

    pub(crate) fn fields_of(&self, id: u16) -> &[Field] {
        let r = &self.structs[id as usize].fields;
        &self.fields[r.start as usize..r.end as usize]
    }

    pub(crate) fn wire_of(&self, id: u16) -> &[(u16, Wire)] {
        let r = &self.structs[id as usize].wire;
        &self.wire[r.start as usize..r.end as usize]
    }

    pub(crate) fn elem(&self, elem: u16) -> Type {
        self.elems[elem as usize]
    }

    /// The struct called `apps/v1.Deployment`.
    pub(crate) fn find(&self, name: &str) -> Option<u16> {
        if let Ok(at) = self.structs.binary_search_by(|s| s.name.as_ref().cmp(name)) {
            return u16::try_from(at).ok();
        }
        let at = self.aliases.binary_search_by(|(n, _)| n.as_ref().cmp(name)).ok()?;
        Some(self.aliases[at].1)
    }
}

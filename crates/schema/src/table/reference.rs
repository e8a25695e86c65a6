//! Handles to types and fields: what other code sees of a table.
//! It must never give out an index without its table.

use std::sync::Arc;

use super::{Field, Markers, Struct, Table, Type};
use crate::{Key, Value};

/// A handle to a type of a table: two words, copied freely. Built-in ones are `TypeRef<'static>`.
#[derive(Clone, Copy)]
pub struct TypeRef<'t> {
    pub(crate) table: &'t Table,
    pub(crate) ty: Type,
}

/// A type that holds on to its table where that was made at run time.
#[derive(Clone)]
pub enum HeldType {
    Builtin(TypeRef<'static>),
    Own(Arc<Table>, Type),
}

impl HeldType {
    /// The type `name` (`example.com/v1.Widget`) of a table.
    #[must_use]
    pub fn of(table: &Arc<Table>, name: &str) -> Option<HeldType> {
        Some(HeldType::Own(table.clone(), Type::Struct(table.find(name)?)))
    }

    /// The handle.
    #[must_use]
    pub fn get(&self) -> TypeRef<'_> {
        match self {
            HeldType::Builtin(ty) => *ty,
            HeldType::Own(table, ty) => TypeRef::new(table, *ty),
        }
    }
}

/// What a type is made of.
#[derive(Clone, Copy)]
pub enum Shape<'t> {
    /// Has [`TypeRef::fields`].
    Struct,
    List(TypeRef<'t>),
    /// Text keys to values of one type.
    Map(TypeRef<'t>),
    /// No parts that the table knows.
    Scalar,
}

/// How server-side apply sees a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    Atomic,
    Set,
    Map,
}

impl std::fmt::Debug for TypeRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.go_name())
    }
}

impl PartialEq for TypeRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.table, other.table) && self.ty == other.ty
    }
}

impl<'t> TypeRef<'t> {
    pub(crate) const fn new(table: &'t Table, ty: Type) -> Self {
        TypeRef { table, ty }
    }

    /// The type itself, for code that decides by scalar kind.
    #[must_use]
    pub const fn scalar(self) -> Type {
        self.ty
    }

    /// `apps/v1.DeploymentSpec` of a struct; empty for anything else.
    #[must_use]
    pub fn full_name(self) -> &'t str {
        match self.ty {
            Type::Struct(id) => &self.table.structs[id as usize].name,
            _ => "",
        }
    }

    /// `DeploymentSpec` of a struct; empty for anything else.
    #[must_use]
    pub fn name(self) -> &'t str {
        self.full_name().rsplit_once('.').map_or("", |(_, name)| name)
    }

    /// `apps/v1` of a struct; empty for anything else.
    #[must_use]
    pub fn group_version(self) -> &'t str {
        self.full_name().rsplit_once('.').map_or("", |(gv, _)| gv)
    }

    /// What the type is made of.
    #[must_use]
    pub fn shape(self) -> Shape<'t> {
        match self.ty {
            Type::Struct(_) => Shape::Struct,
            Type::List(e) | Type::MessageList(e) => Shape::List(self.sibling(self.table.elem(e))),
            Type::Map(e) => Shape::Map(self.sibling(self.table.elem(e))),
            _ => Shape::Scalar,
        }
    }

    /// The type of the elements of a list or the values of a map.
    #[must_use]
    pub fn elem(self) -> Option<TypeRef<'t>> {
        match self.shape() {
            Shape::List(e) | Shape::Map(e) => Some(e),
            _ => None,
        }
    }

    /// The fields of a struct in the order in which they are written, inlined ones in their place.
    #[must_use]
    pub fn fields(self) -> Fields<'t> {
        let fields = match self.ty {
            Type::Struct(id) => self.table.fields_of(id),
            _ => &[],
        };
        Fields { table: self.table, fields: fields.iter() }
    }

    /// The field with that JSON name.
    #[must_use]
    pub fn field(self, json_name: &str) -> Option<FieldRef<'t>> {
        self.fields().find(|f| f.name() == json_name)
    }

    /// Follows JSON names through structs, list elements and map values: `["spec", "containers", "ports"]`.
    #[must_use]
    pub fn at(self, path: &[&str]) -> Option<TypeRef<'t>> {
        path.iter().try_fold(self, |mut ty, name| {
            while let Shape::List(e) = ty.shape() {
                ty = e;
            }
            match ty.shape() {
                Shape::Map(e) => Some(e),
                _ => ty.field(name).map(FieldRef::ty),
            }
        })
    }

    /// Whether it has kind and apiVersion.
    #[must_use]
    pub fn is_kind(self) -> bool {
        self.struct_is(Struct::KIND)
    }

    /// Whether it keeps fields that it does not know.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.struct_is(Struct::OPEN)
    }

    /// Whether server-side apply takes the struct as one unit.
    #[must_use]
    pub fn is_atomic(self) -> bool {
        self.struct_is(Struct::ATOMIC)
    }

    /// Whether it has a protobuf form.
    #[must_use]
    pub fn has_protobuf(self) -> bool {
        !self.struct_is(Struct::NO_PROTOBUF)
    }

    /// The allowed values of an enum, sorted; empty for anything else.
    #[must_use]
    pub fn enum_values(self) -> &'t [Key] {
        match self.ty {
            Type::Named(id) => &self.table.named[id as usize].values,
            _ => &[],
        }
    }

    pub(crate) fn sibling(self, ty: Type) -> TypeRef<'t> {
        TypeRef { table: self.table, ty }
    }

    pub(crate) fn struct_is(self, flag: u8) -> bool {
        matches!(self.ty, Type::Struct(id) if self.table.structs[id as usize].is(flag))
    }

    /// The type as Go prints it, for messages: `v1.PodSpec`, `[]string`, `map[string]string`.
    #[must_use]
    pub fn go_name(self) -> String {
        let elem = |e| self.sibling(self.table.elem(e)).go_name();
        match self.ty {
            Type::Bool => "bool".into(),
            Type::String => "string".into(),
            Type::Named(id) => short_go_name(&self.table.named[id as usize].name),
            Type::Int32 => "int32".into(),
            Type::Int64 => "int64".into(),
            Type::Float => "float64".into(),
            Type::Bytes => "[]uint8".into(),
            Type::Time => "v1.Time".into(),
            Type::MicroTime => "v1.MicroTime".into(),
            Type::Duration => "v1.Duration".into(),
            Type::Quantity => "resource.Quantity".into(),
            Type::IntOrString => "intstr.IntOrString".into(),
            Type::RawExtension => "runtime.RawExtension".into(),
            Type::FieldsV1 => "v1.FieldsV1".into(),
            Type::Json => "v1.JSON".into(),
            Type::Any => "interface {}".into(),
            Type::SchemaOrArray(_) => "v1.JSONSchemaPropsOrArray".into(),
            Type::SchemaOrBool(_) => "v1.JSONSchemaPropsOrBool".into(),
            Type::SchemaOrStrings(_) => "v1.JSONSchemaPropsOrStringArray".into(),
            Type::Struct(id) => short_go_name(&self.table.structs[id as usize].name),
            Type::List(e) | Type::MessageList(e) => format!("[]{}", elem(e)),
            Type::Map(e) => format!("map[string]{}", elem(e)),
        }
    }
}

/// `apps/v1.DeploymentSpec` as Go prints it: `v1.DeploymentSpec`.
fn short_go_name(full: &str) -> String {
    full.rsplit('/').next().unwrap_or(full).to_owned()
}

/// Iterator over a struct's fields.
#[derive(Clone)]
pub struct Fields<'t> {
    table: &'t Table,
    fields: std::slice::Iter<'t, Field>,
}

impl<'t> Iterator for Fields<'t> {
    type Item = FieldRef<'t>;
    fn next(&mut self) -> Option<FieldRef<'t>> {
        self.fields.next().map(|field| FieldRef { table: self.table, field })
    }
}

/// A handle to a field of a struct.
#[derive(Clone, Copy)]
pub struct FieldRef<'t> {
    table: &'t Table,
    field: &'t Field,
}

impl<'t> FieldRef<'t> {
    /// JSON name.
    #[must_use]
    pub fn name(self) -> &'t str {
        &self.field.name
    }

    /// The name as a key of a [`crate::Map`]; free for built-in types.
    #[must_use]
    pub fn key(self) -> Key {
        self.field.name.clone()
    }

    #[must_use]
    pub fn ty(self) -> TypeRef<'t> {
        TypeRef { table: self.table, ty: self.field.ty }
    }

    /// Whether a zero value differs from absence.
    #[must_use]
    pub fn is_pointer(self) -> bool {
        self.field.is(Field::POINTER)
    }

    /// Whether JSON leaves the field out when it is empty.
    #[must_use]
    pub fn omit_empty(self) -> bool {
        self.field.is(Field::OMITEMPTY)
    }

    /// Whether OpenAPI lists the field as required.
    #[must_use]
    pub fn required(self) -> bool {
        self.field.is(Field::REQUIRED)
    }

    /// Protobuf number; 0 when the field is not on the wire, or in an inlined message of it.
    #[must_use]
    pub fn number(self) -> u16 {
        if self.field.is(Field::INLINED) { 0 } else { self.field.number }
    }

    /// Whether Go would not tell this value of the field from its absence.
    #[must_use]
    pub fn is_dropped(self, value: &Value) -> bool {
        self.field.is_dropped(value)
    }

    /// What Go writes where the field is absent (a struct with the zeros of its own fields); `None`: nothing.
    #[must_use]
    pub fn written_zero(self) -> Option<&'static Value> {
        self.field.written_zero()
    }

    fn markers(self) -> &'t Markers {
        &self.table.markers[self.field.markers as usize]
    }

    /// `listType`; a list without one is atomic for server-side apply.
    #[must_use]
    pub fn list_type(self) -> Option<ListType> {
        self.markers().list
    }

    /// `listMapKey`s of a list of type map.
    #[must_use]
    pub fn list_keys(self) -> &'t [Key] {
        &self.markers().keys
    }

    /// `mapType=atomic` or `structType=atomic`.
    #[must_use]
    pub fn is_atomic(self) -> bool {
        self.markers().atomic || (self.ty().is_atomic() && !self.markers().granular)
    }

    /// `mapType=granular` or `structType=granular`.
    #[must_use]
    pub fn is_granular(self) -> bool {
        self.markers().granular
    }

    /// `patchStrategy` as written: `merge`, `merge,retainKeys`, `replace`, ...
    #[must_use]
    pub fn patch_strategy(self) -> Option<&'t str> {
        self.markers().patch_strategy.as_deref()
    }

    fn has_strategy(self, wanted: &str) -> bool {
        self.patch_strategy().is_some_and(|s| s.split(',').any(|s| s == wanted))
    }

    /// Strategic merge: the list is merged and not replaced.
    #[must_use]
    pub fn patch_merge(self) -> bool {
        self.has_strategy("merge")
    }

    /// Strategic merge: `$retainKeys` may be used.
    #[must_use]
    pub fn patch_retain_keys(self) -> bool {
        self.has_strategy("retainKeys")
    }

    /// Strategic merge: what identifies an element of a list of maps.
    #[must_use]
    pub fn patch_merge_key(self) -> Option<&'t str> {
        self.markers().patch_merge_key.as_deref()
    }

    /// `+default=` as JSON text.
    #[must_use]
    pub fn default_json(self) -> Option<&'t str> {
        self.markers().default.as_deref()
    }
}

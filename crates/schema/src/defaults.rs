//! `+default=` markers. It must never put in what upstream's hand-written defaulting functions put in:
//! those belong to the kinds.

use crate::json::decode_plain;
use crate::table::{Field, Struct, Table, Type};
use crate::{Map, TypeRef, Value};

/// Puts the table's defaults where fields are absent, in the object and all it contains.
// k8s: staging/src/k8s.io/code-generator/cmd/defaulter-gen
pub fn apply_defaults(value: &mut Value, ty: TypeRef<'_>) {
    apply(value, ty.table, ty.ty);
}

fn apply(value: &mut Value, table: &Table, ty: Type) {
    match (ty, value) {
        (Type::Struct(id), Value::Map(map)) if table.structs[id as usize].is(Struct::DEFAULTS) => {
            for field in table.fields_of(id) {
                apply_field(map, field, table);
            }
        }
        (Type::List(e) | Type::MessageList(e), Value::List(list)) if has_defaults(table, table.elem(e)) => {
            for v in list {
                apply(v, table, table.elem(e));
            }
        }
        (Type::Map(e), Value::Map(map)) if has_defaults(table, table.elem(e)) => {
            for (_, v) in map.iter_mut() {
                apply(v, table, table.elem(e));
            }
        }
        _ => {}
    }
}

fn has_defaults(table: &Table, ty: Type) -> bool {
    match ty {
        Type::Struct(id) => table.structs[id as usize].is(Struct::DEFAULTS),
        Type::List(e) | Type::MessageList(e) | Type::Map(e) => has_defaults(table, table.elem(e)),
        _ => false,
    }
}

fn apply_field(map: &mut Map, field: &Field, table: &Table) {
    let absent = map.get(&field.name).is_none_or(Value::is_null);
    if absent && let Some(json) = &table.markers[field.markers as usize].default {
        let default = decode_plain(json.as_bytes()).unwrap_or_default();
        if !field.is_dropped(&default) {
            map.set(field.name.clone(), default);
        }
        return;
    }
    if !has_defaults(table, field.ty) {
        return;
    }
    if let Some(v) = map.get_mut(&field.name) {
        apply(v, table, field.ty);
    } else if matches!(field.ty, Type::Struct(_)) && !field.is(Field::POINTER) {
        // A struct by value is always there.
        let mut v = Value::Map(Map::new());
        apply(&mut v, table, field.ty);
        if v.as_map().is_some_and(|m| !m.is_empty()) {
            map.set(field.name.clone(), v);
        }
    }
}

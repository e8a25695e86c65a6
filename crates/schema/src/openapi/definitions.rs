//! Schemas of types: what the field table says, in OpenAPI's words.

use std::collections::BTreeMap;

use descriptions::Descriptions;

use super::dialect::{Dialect, object, strings};
use super::names::definition_name;
use crate::json::decode_plain;
use crate::table::{FieldRef, ListType, Type};
use crate::{Map, TypeRef, Value};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const API: &str = "io.k8s.apimachinery.pkg";
/// It has a kind but neither `kind` nor `apiVersion`.
const WATCH_EVENT: &str = "meta.k8s.io/v1.WatchEvent";
const CRD: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/// Its `kind` and `apiVersion` are described as those of every kind.
const A_KIND: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

struct Builder<'v> {
    dialect: Dialect,
    texts: &'v Descriptions,
    out: BTreeMap<String, Value>,
    todo: Vec<TypeRef<'static>>,
    /// Group versions that serve the kinds of the meta group.
    versions: &'v [(&'v str, &'v str)],
}

/// The schemas of `types` and of all they refer to, by name.
pub fn all(
    types: &[TypeRef<'static>],
    dialect: Dialect,
    versions: &[(&str, &str)],
    texts: &Descriptions,
) -> Value {
    let mut b = Builder { dialect, texts, out: BTreeMap::new(), todo: types.to_vec(), versions };
    b.insert(format!("{META}.Patch"), object([("type", "object".into())]));
    while let Some(ty) = b.todo.pop() {
        let name = definition_name(ty.full_name());
        if !b.out.contains_key(&name) {
            // Types may refer to themselves.
            b.out.insert(name.clone(), Value::Null);
            let schema = b.definition(&name, ty);
            b.insert(name, schema);
        }
    }
    Value::Map(Map(b.out.into_iter().map(|(k, v)| (k.into(), v)).collect()))
}

impl Builder<'_> {
    /// Adds a definition with its description.
    fn insert(&mut self, name: String, schema: Value) {
        let mut out = Map::new();
        if let Some(text) = self.texts.of_type(&name) {
            out.set("description", text);
        }
        if let Value::Map(schema) = schema {
            out.0.extend(schema.0);
        }
        self.out.insert(name, Value::Map(out));
    }

    /// What is said of a field, with the values of an enum, as upstream puts them there.
    // k8s: k8s.io/kube-openapi pkg/generators/enum.go
    fn text(&self, definition: &str, f: FieldRef<'_>) -> Option<String> {
        let same = || match f.name() {
            "kind" | "apiVersion" => self.texts.of_field(A_KIND, f.name()),
            _ => None,
        };
        let text = self.texts.of_field(definition, f.name()).or_else(same)?;
        let values = f.ty().enum_values();
        if values.is_empty() {
            return Some(text.to_owned());
        }
        let values: String = values.iter().map(|v| format!("\n - `\"{v}\"`")).collect();
        Some(format!("{text}\n\nPossible enum values:{values}"))
    }

    fn definition(&mut self, name: &str, ty: TypeRef<'static>) -> Value {
        let mut fields: Vec<_> = ty.fields().collect();
        fields.sort_by_key(|f| f.name());
        let mut out = Map::new();
        out.set("type", "object");
        if !fields.is_empty() {
            let mut properties = Map::new();
            for f in &fields {
                let schema = self.property(name, *f);
                properties.0.push((f.key(), schema));
            }
            out.set("properties", properties);
        }
        let required: Vec<&str> = ty.fields().filter(|f| f.required()).map(FieldRef::name).collect();
        if !required.is_empty() {
            out.set("required", strings(required));
        }
        if ty.is_atomic() {
            out.set("x-kubernetes-map-type", "atomic");
        }
        if ty.is_kind() || ty.full_name() == WATCH_EVENT {
            out.set("x-kubernetes-group-version-kind", self.kinds(ty));
        }
        Value::Map(out)
    }

    fn kinds(&self, ty: TypeRef<'_>) -> Value {
        let kind = |group: &str, version: &str| {
            object([("group", group.into()), ("kind", ty.name().into()), ("version", version.into())])
        };
        let gv = ty.group_version();
        let shared = matches!(ty.name(), "DeleteOptions" | "WatchEvent");
        let all = match gv.split_once('/') {
            Some(("meta.k8s.io", _)) if shared => {
                let core = (!self.versions.contains(&("", "v1"))).then_some(("", "v1"));
                core.iter().chain(self.versions).map(|(g, v)| kind(g, v)).collect()
            }
            Some(("meta.k8s.io", version)) => vec![kind("", version)],
            Some((group, version)) => vec![kind(group, version)],
            None => vec![kind("", gv)],
        };
        Value::List(all)
    }

    fn property(&mut self, definition: &str, f: FieldRef<'static>) -> Value {
        let Value::Map(mut out) = self.schema(f.ty()) else { return Value::Null };
        let bare = out.clone();
        if let Some(text) = self.text(definition, f) {
            out.set("description", text);
        }
        if self.dialect == Dialect::V3 {
            if let Some(default) = f.default_json().and_then(|d| decode_plain(d.as_bytes()).ok()) {
                out.set("default", default);
            } else if matches!(f.ty().scalar(), Type::Struct(_)) && !f.is_pointer() {
                out.set("default", Map::new());
            }
        }
        let list_type = match f.list_type() {
            Some(ListType::Atomic) => Some("atomic"),
            Some(ListType::Set) => Some("set"),
            Some(ListType::Map) => Some("map"),
            None => None,
        };
        if !f.list_keys().is_empty() {
            out.set("x-kubernetes-list-map-keys", strings(f.list_keys().iter().map(AsRef::as_ref)));
        }
        if let Some(list_type) = list_type {
            out.set("x-kubernetes-list-type", list_type);
        }
        if f.is_atomic() && matches!(f.ty().scalar(), Type::Map(_)) {
            out.set("x-kubernetes-map-type", "atomic");
        }
        if f.is_granular() {
            out.set("x-kubernetes-map-type", "granular");
        }
        if let Some(key) = f.patch_merge_key() {
            out.set("x-kubernetes-patch-merge-key", key);
        }
        if let Some(strategy) = f.patch_strategy() {
            out.set("x-kubernetes-patch-strategy", strategy);
        }
        // In version 3 a reference stands alone.
        if self.dialect == Dialect::V3 && out.len() > bare.len() && bare.get("$ref").is_some() {
            out.remove("$ref");
            out.0.insert(0, ("allOf".into(), Value::List(vec![Value::Map(bare)])));
        }
        Value::Map(out)
    }

    fn schema(&mut self, ty: TypeRef<'static>) -> Value {
        let simple = |kind: &'static str| object([("type", kind.into())]);
        let formatted = |kind: &'static str, format: &'static str| {
            object([("type", kind.into()), ("format", format.into())])
        };
        match ty.scalar() {
            Type::Bool => simple("boolean"),
            Type::String => simple("string"),
            Type::Named(_) => {
                let mut out = Map::new();
                out.set("type", "string");
                if !ty.enum_values().is_empty() {
                    out.set("enum", strings(ty.enum_values().iter().map(AsRef::as_ref)));
                }
                Value::Map(out)
            }
            Type::Int32 => formatted("integer", "int32"),
            Type::Int64 => formatted("integer", "int64"),
            Type::Float => formatted("number", "double"),
            Type::Bytes => formatted("string", "byte"),
            Type::Any => object([]),
            Type::List(_) | Type::MessageList(_) => {
                let items = ty.elem().map(|e| self.schema(e)).unwrap_or_default();
                object([("type", "array".into()), ("items", items)])
            }
            Type::Map(_) => {
                let elem = ty.elem().map(|e| self.schema(e)).unwrap_or_default();
                object([("type", "object".into()), ("additionalProperties", elem)])
            }
            Type::Struct(_) => {
                self.todo.push(ty);
                self.refer(&definition_name(ty.full_name()), None)
            }
            _ => self.special(ty.scalar()),
        }
    }

    /// Types with a form of their own are definitions too.
    fn special(&mut self, ty: Type) -> Value {
        let v3 = self.dialect == Dialect::V3;
        let typed = |kind: &'static str| ("type", Value::from(kind));
        let one_of = |a, b| ("oneOf", Value::List(vec![object([typed(a)]), object([typed(b)])]));
        let date = object([typed("string"), ("format", "date-time".into())]);
        let (name, schema) = match ty {
            Type::Time => (format!("{META}.Time"), date),
            Type::MicroTime => (format!("{META}.MicroTime"), date),
            Type::Duration => (format!("{META}.Duration"), object([typed("string")])),
            Type::Quantity if v3 => {
                (format!("{API}.api.resource.Quantity"), object([one_of("string", "number")]))
            }
            Type::Quantity => (format!("{API}.api.resource.Quantity"), object([typed("string")])),
            Type::IntOrString => {
                let kind = if v3 { one_of("integer", "string") } else { typed("string") };
                (format!("{API}.util.intstr.IntOrString"), object([kind, ("format", "int-or-string".into())]))
            }
            Type::RawExtension => (format!("{API}.runtime.RawExtension"), object([typed("object")])),
            Type::FieldsV1 => (format!("{META}.FieldsV1"), object([typed("object")])),
            Type::SchemaOrArray(_) => (format!("{CRD}.JSONSchemaPropsOrArray"), object([])),
            Type::SchemaOrBool(_) => (format!("{CRD}.JSONSchemaPropsOrBool"), object([])),
            Type::SchemaOrStrings(_) => (format!("{CRD}.JSONSchemaPropsOrStringArray"), object([])),
            _ => (format!("{CRD}.JSON"), object([])),
        };
        self.refer(&name, Some(schema))
    }

    fn refer(&mut self, name: &str, schema: Option<Value>) -> Value {
        if let Some(schema) = schema.filter(|_| !self.out.contains_key(name)) {
            self.insert(name.to_owned(), schema);
        }
        object([("$ref", self.dialect.reference(name).into())])
    }
}

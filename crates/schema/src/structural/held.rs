//! The type by which objects of a defined kind are decoded, merged and written: a table of its own, made of the
//! schema. It keeps what the schema does not know and what has the wrong type, for pruning and validation to judge.

use std::sync::Arc;

use super::node::{ListKind, Node, NodeType};
use crate::HeldType;
use crate::table::{Field, ListType, Markers, Struct, Table, Type, builtin};

/// The name of the type of metadata in the built-in table.
const OBJECT_META: &str = "meta.k8s.io/v1.ObjectMeta";
const LIST_META: &str = "meta.k8s.io/v1.ListMeta";

/// A type of `kind` in `group/version`, its list beside it in the same table.
pub fn held(root: &Node, group: &str, version: &str, kind: &str) -> HeldType {
    let mut m = Maker { table: Table::default(), prefix: format!("{group}/{version}.{kind}"), named: 0 };
    m.table.markers.push(Markers::default());
    let object_meta = m.builtin(OBJECT_META);
    let list_meta = m.builtin(LIST_META);
    m.table.loose_from = Some(u16::try_from(m.table.elems.len()).unwrap_or(u16::MAX));
    let metadata = object_meta.map_or(Type::Any, Type::Struct);
    let ty = m.kind(root, metadata);
    if let (Type::Struct(id), Some(meta)) = (ty, list_meta) {
        m.list(id, meta);
    }
    let name = m.prefix.clone();
    let mut table = m.table;
    table.sort_structs();
    let ty = table.find(&name).map_or(Type::Any, Type::Struct);
    HeldType::Own(Arc::new(table), ty)
}

struct Maker {
    table: Table,
    /// `example.com/v1.Widget`
    prefix: String,
    /// How many structs have got a number for a name.
    named: u32,
}

/// A field and how it merges, before it has a place.
struct Draft {
    name: String,
    ty: Type,
    flags: u8,
    markers: u16,
}

impl Maker {
    /// Copies a struct of the built-in table, and all that it refers to.
    fn builtin(&mut self, name: &str) -> Option<u16> {
        if let Some(at) = self.table.structs.iter().position(|s| s.name == name) {
            return u16::try_from(at).ok();
        }
        let from = builtin();
        let id = from.find(name)?;
        let own = self.reserve(name.to_owned(), from.structs[id as usize].flags | Struct::NO_PROTOBUF)?;
        let drafts: Vec<Draft> = from
            .fields_of(id)
            .iter()
            .filter_map(|f| {
                let ty = self.copied(from, f.ty)?;
                let markers = self.markers(from.markers[f.markers as usize].clone());
                Some(Draft { name: f.name.to_string(), ty, flags: f.flags, markers })
            })
            .collect();
        self.fill(own, drafts);
        Some(own)
    }

    fn copied(&mut self, from: &Table, ty: Type) -> Option<Type> {
        Some(match ty {
            Type::Struct(id) => {
                let name = from.structs[id as usize].name.to_string();
                Type::Struct(self.builtin(&name)?)
            }
            Type::List(e) => Type::List(self.copied_elem(from, e)?),
            Type::MessageList(e) => Type::MessageList(self.copied_elem(from, e)?),
            Type::Map(e) => Type::Map(self.copied_elem(from, e)?),
            Type::Named(_) => Type::String,
            Type::SchemaOrArray(_) | Type::SchemaOrBool(_) | Type::SchemaOrStrings(_) => Type::Any,
            other => other,
        })
    }

    fn copied_elem(&mut self, from: &Table, elem: u16) -> Option<u16> {
        let ty = self.copied(from, from.elem(elem))?;
        self.elem(ty)
    }

    fn elem(&mut self, ty: Type) -> Option<u16> {
        let at = u16::try_from(self.table.elems.len()).ok()?;
        self.table.elems.push(ty);
        Some(at)
    }

    fn markers(&mut self, markers: Markers) -> u16 {
        let known = self.table.markers.iter().take(64).position(|m| *m == markers);
        let at = known.unwrap_or(self.table.markers.len());
        let Ok(id) = u16::try_from(at) else { return 0 };
        if known.is_none() {
            self.table.markers.push(markers);
        }
        id
    }

    /// A place for a struct; `None` when there are too many.
    fn reserve(&mut self, name: String, flags: u8) -> Option<u16> {
        let id = u16::try_from(self.table.structs.len()).ok().filter(|id| *id < u16::MAX)?;
        self.table.structs.push(Struct { name: name.into(), fields: 0..0, wire: 0..0, flags });
        Some(id)
    }

    fn fill(&mut self, id: u16, drafts: Vec<Draft>) {
        let Ok(start) = u32::try_from(self.table.fields.len()) else { return };
        for d in drafts {
            let name = d.name.into();
            self.table.fields.push(Field { name, ty: d.ty, flags: d.flags, number: 0, markers: d.markers });
        }
        let end = u32::try_from(self.table.fields.len()).unwrap_or(start);
        self.table.structs[id as usize].fields = start..end;
    }

    /// The struct of the kind itself: its schema with kind, apiVersion and metadata as every object has them.
    fn kind(&mut self, root: &Node, metadata: Type) -> Type {
        let flags = Struct::KIND | Struct::OPEN | Struct::NO_PROTOBUF;
        let Some(id) = self.reserve(self.prefix.clone(), flags) else { return Type::Any };
        let mut drafts: Vec<Draft> = root
            .properties
            .iter()
            .filter(|(name, _)| !matches!(&**name, "apiVersion" | "kind" | "metadata"))
            .map(|(name, p)| self.draft(name, p, root))
            .collect();
        drafts.extend(type_meta());
        drafts.push(Draft { name: "metadata".into(), ty: metadata, flags: 0, markers: 0 });
        drafts.sort_by(|a, b| a.name.cmp(&b.name));
        self.fill(id, drafts);
        Type::Struct(id)
    }

    fn list(&mut self, kind: u16, meta: u16) {
        let flags = Struct::KIND | Struct::NO_PROTOBUF;
        let name = format!("{}List", self.prefix);
        let (Some(items), Some(id)) = (self.elem(Type::Struct(kind)), self.reserve(name, flags)) else {
            return;
        };
        let mut drafts: Vec<Draft> = type_meta().into();
        drafts.insert(
            1,
            Draft { name: "items".into(), ty: Type::List(items), flags: Field::REQUIRED, markers: 0 },
        );
        drafts.push(Draft { name: "metadata".into(), ty: Type::Struct(meta), flags: 0, markers: 0 });
        self.fill(id, drafts);
    }

    fn draft(&mut self, name: &str, node: &Node, above: &Node) -> Draft {
        let required = above.checks().required.iter().any(|r| **r == *name);
        let markers = Markers {
            list: node.list_kind.as_ref().and_then(|k| match k {
                ListKind::Atomic => Some(ListType::Atomic),
                ListKind::Set => Some(ListType::Set),
                ListKind::Map => Some(ListType::Map),
                ListKind::Other(_) => None,
            }),
            keys: node.list_map_keys.iter().map(|k| k.to_string().into()).collect(),
            atomic: node.is_atomic_map(),
            granular: node.map_kind.as_deref() == Some("granular"),
            ..Markers::default()
        };
        let flags = Field::OMITEMPTY | Field::POINTER | if required { Field::REQUIRED } else { 0 };
        Draft { name: name.to_owned(), ty: self.ty(node), flags, markers: self.markers(markers) }
    }

    /// The type of a value. Scalars are any JSON: their types are checked by validation.
    fn ty(&mut self, node: &Node) -> Type {
        match node.ty {
            NodeType::Array => {
                let elem = node.items.as_deref().map_or(Type::Any, |i| self.ty(i));
                self.elem(elem).map_or(Type::Any, Type::List)
            }
            NodeType::Object => match node.additional.schema() {
                Some(schema) if node.properties.is_empty() => {
                    let elem = self.ty(schema);
                    self.elem(elem).map_or(Type::Any, Type::Map)
                }
                None if node.properties.is_empty() && !node.embedded => Type::Any,
                _ => self.object(node),
            },
            _ => Type::Any,
        }
    }

    fn object(&mut self, node: &Node) -> Type {
        self.named += 1;
        let mut flags = Struct::OPEN | Struct::NO_PROTOBUF;
        if node.is_atomic_map() {
            flags |= Struct::ATOMIC;
        }
        let Some(id) = self.reserve(format!("{}#{:05}", self.prefix, self.named), flags) else {
            return Type::Any;
        };
        let mut drafts: Vec<Draft> = node.properties.iter().map(|(n, p)| self.draft(n, p, node)).collect();
        if node.embedded {
            for name in ["apiVersion", "kind", "metadata"] {
                if node.property(name).is_none() {
                    let flags = Field::OMITEMPTY | Field::POINTER;
                    drafts.push(Draft { name: name.into(), ty: Type::Any, flags, markers: 0 });
                }
            }
            drafts.sort_by(|a, b| a.name.cmp(&b.name));
        }
        self.fill(id, drafts);
        Type::Struct(id)
    }
}

fn type_meta() -> [Draft; 2] {
    ["apiVersion", "kind"].map(|name| Draft {
        name: name.into(),
        ty: Type::String,
        flags: Field::OMITEMPTY,
        markers: 0,
    })
}

//! Reads the generated table.
//!
//! One item a line:
//! - `E <gv>.<Name> <value>...`: a named string; values only for a closed enum;
//! - `A <gv>.<Name> <gv>.<Name>`: another name of a struct;
//! - `S <gv>.<Name> -<flags>`: a struct (k has kind and apiVersion, a atomic, n no protobuf); its lines follow:
//! - ` <json> <type> -<flags> <number> <key>=<value>...`: a field. Flags: o omitempty, z omitzero, p pointer,
//!   i inlined, r required. Keys: l listType, k listMapKey, m mapType or structType, s patchStrategy,
//!   p patchMergeKey, d default as JSON;
//! - `+<number> @<gv>.<Name>`: an inlined message.
//!
//! Types: scalar names, `@struct`, `~named string`, `[]list`, `{}map`, `<>list that is a message`.
//! It must never accept a line it does not understand.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Field, ListType, Markers, Named, Struct, Table, Type, Wire};

/// A line of a table that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("field table, line {line}: {text}")]
pub struct LoadError {
    pub line: usize,
    pub text: String,
}

#[derive(Default)]
struct Loader {
    table: Table,
    structs: HashMap<&'static str, u16>,
    named: HashMap<&'static str, u16>,
    elems: HashMap<&'static str, u16>,
    current: Option<u16>,
}

impl Table {
    /// Reads a table's text.
    ///
    /// # Errors
    /// When a line is not understood.
    pub fn load(text: &'static str) -> Result<Table, LoadError> {
        let mut l = Loader::default();
        l.table.markers.push(Markers::default());
        l.names(text);
        for (at, line) in text.lines().enumerate() {
            l.line(line).ok_or_else(|| LoadError { line: at + 1, text: line.to_owned() })?;
        }
        l.table.aliases.sort_by(|a, b| a.0.cmp(&b.0));
        sort_wire(&mut l.table);
        mark_defaults(&mut l.table);
        mark_emptied(&mut l.table);
        Ok(l.table)
    }
}

impl Loader {
    /// First pass: numbers for all structs, in the order of their names.
    fn names(&mut self, text: &'static str) {
        let mut names: Vec<&'static str> =
            text.lines().filter_map(|l| l.strip_prefix("S ")?.split(' ').next()).collect();
        names.sort_unstable();
        for (id, name) in (0u16..).zip(names) {
            self.structs.insert(name, id);
            self.table.structs.push(Struct { name: Cow::Borrowed(name), fields: 0..0, wire: 0..0, flags: 0 });
        }
    }

    fn line(&mut self, line: &'static str) -> Option<()> {
        let mut words = line.split(' ');
        match words.next()? {
            "#" => {}
            "E" => {
                let name = words.next()?;
                self.named.insert(name, u16::try_from(self.table.named.len()).ok()?);
                let values = words.map(Cow::Borrowed).collect();
                self.table.named.push(Named { name: Cow::Borrowed(name), values });
            }
            "A" => {
                let name = words.next()?;
                let id = *self.structs.get(words.next()?)?;
                self.table.aliases.push((Cow::Borrowed(name), id));
            }
            "S" => self.begin_struct(words.next()?, words.next()?)?,
            "" => self.field(words)?,
            inlined => {
                let number = inlined.strip_prefix('+')?.parse().ok()?;
                let id = *self.structs.get(words.next()?.strip_prefix('@')?)?;
                self.table.wire.push((number, Wire::Inlined(id)));
                self.last()?.wire.end += 1;
            }
        }
        Some(())
    }

    fn begin_struct(&mut self, name: &'static str, flags: &str) -> Option<()> {
        let id = *self.structs.get(name)?;
        let fields = u32::try_from(self.table.fields.len()).ok()?;
        let wire = u32::try_from(self.table.wire.len()).ok()?;
        let s = &mut self.table.structs[id as usize];
        s.fields = fields..fields;
        s.wire = wire..wire;
        for c in flags.chars() {
            s.flags |= match c {
                'k' => Struct::KIND,
                'a' => Struct::ATOMIC,
                'n' => Struct::NO_PROTOBUF,
                '-' => 0,
                _ => return None,
            };
        }
        self.current = Some(id);
        Some(())
    }

    fn last(&mut self) -> Option<&mut Struct> {
        self.table.structs.get_mut(self.current? as usize)
    }

    fn field(&mut self, mut words: std::str::Split<'static, char>) -> Option<()> {
        let name = Cow::Borrowed(words.next()?);
        let ty = self.ty(words.next()?)?;
        let mut flags = 0;
        for c in words.next()?.chars() {
            flags |= match c {
                'o' => Field::OMITEMPTY,
                'z' => Field::OMITZERO,
                'p' => Field::POINTER,
                'i' => Field::INLINED,
                'r' => Field::REQUIRED,
                '-' => 0,
                _ => return None,
            };
        }
        let number = words.next()?.parse().ok()?;
        let markers = self.markers(words)?;
        let at = u32::try_from(self.table.fields.len()).ok()?;
        if number > 0 && flags & Field::INLINED == 0 {
            self.table.wire.push((number, Wire::Field(at)));
            self.last()?.wire.end += 1;
        }
        self.table.fields.push(Field { name, ty, flags, number, markers });
        self.last()?.fields.end = at + 1;
        Some(())
    }

    fn markers(&mut self, words: std::str::Split<'static, char>) -> Option<u16> {
        let mut m = Markers::default();
        let mut any = false;
        for word in words {
            any = true;
            let (key, value) = word.split_once('=')?;
            match (key, value) {
                ("l", "atomic") => m.list = Some(ListType::Atomic),
                ("l", "set") => m.list = Some(ListType::Set),
                ("l", "map") => m.list = Some(ListType::Map),
                ("k", key) => m.keys.push(Cow::Borrowed(key)),
                ("m", "atomic") => m.atomic = true,
                ("m", "granular") => m.granular = true,
                ("s", strategy) => m.patch_strategy = Some(Cow::Borrowed(strategy)),
                ("p", key) => m.patch_merge_key = Some(Cow::Borrowed(key)),
                ("d", json) => m.default = Some(Cow::Borrowed(json)),
                _ => return None,
            }
        }
        if !any {
            return Some(0);
        }
        self.table.markers.push(m);
        u16::try_from(self.table.markers.len() - 1).ok()
    }

    fn ty(&mut self, token: &'static str) -> Option<Type> {
        let schema = |l: &Self| l.structs.get("apiextensions.k8s.io/v1.JSONSchemaProps").copied();
        if let Some(name) = token.strip_prefix('@') {
            return self.structs.get(name).copied().map(Type::Struct);
        }
        if let Some(name) = token.strip_prefix('~') {
            return self.named.get(name).copied().map(Type::Named);
        }
        if let Some(inner) = token.get(2..).filter(|_| !token.starts_with(char::is_alphanumeric)) {
            let elem = self.elem(inner)?;
            return match &token[..2] {
                "[]" => Some(Type::List(elem)),
                "{}" => Some(Type::Map(elem)),
                "<>" => Some(Type::MessageList(elem)),
                _ => None,
            };
        }
        Some(match token {
            "bool" => Type::Bool,
            "string" => Type::String,
            "int32" => Type::Int32,
            "int64" => Type::Int64,
            "float" => Type::Float,
            "bytes" => Type::Bytes,
            "time" => Type::Time,
            "microtime" => Type::MicroTime,
            "duration" => Type::Duration,
            "quantity" => Type::Quantity,
            "intorstring" => Type::IntOrString,
            "raw" => Type::RawExtension,
            "fieldsv1" => Type::FieldsV1,
            "json" => Type::Json,
            "any" => Type::Any,
            "schemaorarray" => Type::SchemaOrArray(schema(self)?),
            "schemaorbool" => Type::SchemaOrBool(schema(self)?),
            "schemaorstrings" => Type::SchemaOrStrings(schema(self)?),
            _ => return None,
        })
    }

    /// Index of an element type; each is stored once.
    fn elem(&mut self, token: &'static str) -> Option<u16> {
        if let Some(&at) = self.elems.get(token) {
            return Some(at);
        }
        let ty = self.ty(token)?;
        self.table.elems.push(ty);
        let at = u16::try_from(self.table.elems.len() - 1).ok()?;
        self.elems.insert(token, at);
        Some(at)
    }
}

fn sort_wire(table: &mut Table) {
    for s in &table.structs {
        table.wire[s.wire.start as usize..s.wire.end as usize].sort_by_key(|(number, _)| *number);
    }
}

/// Sets `Struct::DEFAULTS` where a default may have to be put in, until nothing changes.
fn mark_defaults(table: &mut Table) {
    loop {
        let mut changed = false;
        for id in 0..table.structs.len() {
            if table.structs[id].is(Struct::DEFAULTS) {
                continue;
            }
            let r = table.structs[id].fields.clone();
            let fields = &table.fields[r.start as usize..r.end as usize];
            let has = fields.iter().any(|f| {
                table.markers[f.markers as usize].default.is_some() || below_has_defaults(table, f.ty)
            });
            if has {
                table.structs[id].flags |= Struct::DEFAULTS;
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}

/// An empty list of managed fields is not the absence of one: it asks for them to be forgotten. Such are lists of
/// structs that hold a set of fields.
fn mark_emptied(table: &mut Table) {
    let holds_set = |ty| match ty {
        Type::List(e) => match table.elem(e) {
            Type::Struct(id) => table.fields_of(id).iter().any(|f| f.ty == Type::FieldsV1),
            _ => false,
        },
        _ => false,
    };
    let found: Vec<usize> = (0..table.fields.len()).filter(|at| holds_set(table.fields[*at].ty)).collect();
    for at in found {
        table.fields[at].flags |= Field::POINTER;
    }
}

fn below_has_defaults(table: &Table, ty: Type) -> bool {
    match ty {
        Type::Struct(id) => table.structs[id as usize].is(Struct::DEFAULTS),
        Type::List(e) | Type::MessageList(e) | Type::Map(e) => below_has_defaults(table, table.elem(e)),
        _ => false,
    }
}

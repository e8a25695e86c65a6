//! `metadata.managedFields`: entries as objects carry them and as they are worked on. It must never change whose
//! fields an entry holds.
// k8s: staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/managedfields.go

use std::fmt;

use schema::{Map, Value};

use crate::fields_v1;
use crate::set::Set;

/// What made an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// Whose an entry is. Entries of one identity are one entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub manager: String,
    pub operation: Operation,
    /// Empty for applies: a manager applies in one version at a time.
    pub api_version: String,
    pub subresource: String,
}

impl Identity {
    /// Of a write; a manager without a name is called `unknown`.
    #[must_use]
    pub fn new(manager: &str, operation: Operation, api_version: &str, subresource: &str) -> Self {
        Identity {
            manager: if manager.is_empty() { "unknown" } else { manager }.to_owned(),
            operation,
            api_version: if operation == Operation::Apply { "" } else { api_version }.to_owned(),
            subresource: subresource.to_owned(),
        }
    }
}

/// As conflicts name a manager: `"kubectl" with subresource "status" using apps/v1`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&meta::field::quoted(&self.manager))?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {}", meta::field::quoted(&self.subresource))?;
        }
        if self.operation == Operation::Update {
            write!(f, " using {}", self.api_version)?;
        }
        Ok(())
    }
}

/// The fields of one manager.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: Identity,
    /// The version in which the fields are named.
    pub api_version: String,
    /// RFC 3339, whole seconds, UTC; absent where nobody said it.
    pub time: Option<Box<str>>,
    fields: Set,
    /// The text that the fields were read from, as long as they are the same.
    text: Option<Box<str>>,
}

impl Entry {
    /// A new entry.
    #[must_use]
    pub fn new(id: Identity, api_version: &str, time: Option<Box<str>>, fields: Set) -> Self {
        Entry { id, api_version: api_version.to_owned(), time, fields, text: None }
    }

    #[must_use]
    pub fn fields(&self) -> &Set {
        &self.fields
    }

    /// Whether the entry is an applier's.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        self.id.operation == Operation::Apply
    }

    /// Gives it other fields.
    pub fn set_fields(&mut self, fields: Set) {
        self.fields = fields;
        self.text = None;
    }

    /// Changes the fields in place, by a function that says whether it changed anything.
    pub(crate) fn change_fields(&mut self, change: impl FnOnce(&mut Set) -> bool) {
        if change(&mut self.fields) {
            self.text = None;
        }
    }

    fn read(value: &Value, at: usize) -> Result<Self, String> {
        let operation = match value.str_at(&["operation"]) {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        let api_version = value.str_at(&["apiVersion"]);
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match value.str_at(&["fieldsType"]) {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {at}")),
            other => {
                let other = meta::field::quoted(other);
                return Err(format!("invalid fieldsType {other} in managed fields entry {at}"));
            }
        }
        let (fields, text) = match value.get("fieldsV1") {
            Some(Value::Str(text)) => (fields_v1::decode(text)?, Some(text.clone())),
            Some(plain) => (fields_v1::decode(&String::from_utf8_lossy(&schema::encode_plain(plain)))?, None),
            None => (Set::new(), None),
        };
        let time = value.get("time").and_then(Value::as_str).map(Box::from);
        let id = Identity {
            manager: value.str_at(&["manager"]).to_owned(),
            operation,
            api_version: if operation == Operation::Apply { "" } else { api_version }.to_owned(),
            subresource: value.str_at(&["subresource"]).to_owned(),
        };
        Ok(Entry { id, api_version: api_version.to_owned(), time, fields, text })
    }

    fn write(self) -> Value {
        let text = self.text.unwrap_or_else(|| fields_v1::encode(&self.fields).into());
        let mut map = Map::new();
        if !self.id.manager.is_empty() {
            map.set("manager", self.id.manager);
        }
        map.set("operation", self.id.operation.name());
        map.set("apiVersion", self.api_version);
        if let Some(time) = self.time {
            map.set("time", Value::Str(time));
        }
        map.set("fieldsType", "FieldsV1");
        map.set("fieldsV1", Value::Str(text));
        if !self.id.subresource.is_empty() {
            map.set("subresource", self.id.subresource);
        }
        Value::Map(map)
    }
}

/// The entries of a list; absent is none. Of entries of one identity the last counts.
///
/// # Errors
/// When an entry is none.
pub fn read(list: Option<&Value>) -> Result<Vec<Entry>, String> {
    let list = list.and_then(Value::as_list).unwrap_or(&[]);
    let mut entries: Vec<Entry> = Vec::with_capacity(list.len());
    for (at, value) in list.iter().enumerate() {
        let entry = Entry::read(value, at)?;
        match entries.iter_mut().find(|e| e.id == entry.id) {
            Some(same) => *same = entry,
            None => entries.push(entry),
        }
    }
    Ok(entries)
}

/// The list of entries in its order: by operation, time, manager, version and subresource; `None` when there are none.
#[must_use]
pub fn write(mut entries: Vec<Entry>) -> Option<Value> {
    if entries.is_empty() {
        return None;
    }
    entries.sort_by(|a, b| order(a).cmp(&order(b)));
    Some(Value::List(entries.into_iter().map(Entry::write).collect()))
}

fn order(e: &Entry) -> (&str, Option<&str>, &str, &str, &str) {
    // Canonical times compare as texts.
    (e.id.operation.name(), e.time.as_deref(), &e.id.manager, &e.api_version, &e.id.subresource)
}

/// Whether a list asks for all entries to be forgotten: it is empty, or holds one empty entry.
#[must_use]
pub fn is_reset(list: Option<&Value>) -> bool {
    match list {
        Some(Value::List(list)) => match list.as_slice() {
            [] => true,
            [Value::Map(one)] => one.0.iter().all(|(_, v)| v.is_null() || v.as_str() == Some("")),
            _ => false,
        },
        _ => false,
    }
}

/// Whether two lists differ in nothing but times.
#[must_use]
pub fn differ_only_in_times(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_list(), b.as_list()) else { return false };
    let same = |a: &Value, b: &Value| {
        ["manager", "operation", "apiVersion", "fieldsType", "fieldsV1", "subresource"]
            .iter()
            .all(|field| a.get(field) == b.get(field))
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

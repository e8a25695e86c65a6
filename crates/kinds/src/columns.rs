//! Columns that many kinds share, and the ways to write a column. What a cell says is upstream's text.
// k8s: pkg/printers/internalversion/printers.go

use jiff::Timestamp;
use schema::Value;
use schema::jsonpath::JsonPath;

use crate::kind::{Cell, Column};

/// The columns of a kind: written down, or paths into the object.
#[derive(Clone, Copy)]
pub enum Columns<'a> {
    Builtin(&'static [Column]),
    Paths(&'a [PathColumn]),
}

/// What a table says of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading<'a> {
    pub name: &'a str,
    /// OpenAPI type: `string`, `integer`, `number`, `boolean`, `date`.
    pub kind: &'a str,
    pub format: &'a str,
    pub description: &'a str,
    /// 0 is always shown, others only with `-o wide`.
    pub priority: i64,
}

/// A column that shows what a path finds.
pub struct PathColumn {
    pub name: String,
    pub kind: String,
    pub format: String,
    pub description: String,
    pub priority: i64,
    pub path: JsonPath,
}

impl Columns<'_> {
    /// What a table says of them, in order.
    #[must_use]
    pub fn headings(&self) -> Vec<Heading<'_>> {
        let builtin = |c: &Column| Heading {
            name: c.name,
            kind: c.kind,
            format: c.format,
            description: c.description,
            priority: c.priority.into(),
        };
        match self {
            Columns::Builtin(all) => all.iter().map(builtin).collect(),
            Columns::Paths(all) => all.iter().map(PathColumn::heading).collect(),
        }
    }

    /// The row of an object. `now` is the time of the request (for ages).
    #[must_use]
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        match self {
            Columns::Builtin(all) => all.iter().map(|c| (c.cell)(object, now)).collect(),
            Columns::Paths(all) => all.iter().map(|c| c.cell(object, now)).collect(),
        }
    }
}

impl PathColumn {
    fn heading(&self) -> Heading<'_> {
        Heading {
            name: &self.name,
            kind: &self.kind,
            format: &self.format,
            description: &self.description,
            priority: self.priority,
        }
    }

    /// What the first find shows; nothing where its type is another.
    // k8s: staging/src/k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor/tableconvertor.go
    fn cell(&self, object: &Value, now: Timestamp) -> Cell {
        let found = self.path.find(object);
        let Some(first) = found.first() else { return Cell::Null };
        match (self.kind.as_str(), first) {
            ("string", v) => Cell::Text(schema::jsonpath::text(v)),
            ("integer", Value::Int(n)) => Cell::Int(*n),
            #[allow(clippy::cast_possible_truncation, reason = "as upstream cuts a number to a whole one")]
            ("integer", Value::Float(f)) => Cell::Int(*f as i64),
            ("number", Value::Int(n)) => Cell::Int(*n),
            ("number", Value::Float(f)) => Cell::Float(*f),
            ("boolean", Value::Bool(b)) => Cell::Bool(*b),
            ("date", Value::Str(s)) => match meta::time::parse(s) {
                Some(_) => Cell::Text(meta::time::age(s, now)),
                None => Cell::Text("<invalid>".to_owned()),
            },
            _ => Cell::Null,
        }
    }
}

/// The name, in every table.
pub const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name of the object, unique within its namespace.",
    priority: 0,
    cell: |o, _| text_at(o, &["metadata", "name"]),
};

/// Time since creation.
pub const AGE: Column = text("Age", "Time since the object was created.", |o, now| {
    Cell::Text(meta::time::age(o.str_at(&["metadata", "creationTimestamp"]), now))
});

/// Time of creation, shown for kinds without columns of their own.
// k8s: staging/src/k8s.io/apiserver/pkg/registry/rest/table.go defaultTableConvertor
pub const CREATED_AT: Column = Column {
    kind: "date",
    ..text("Created At", "Time at which the object was created.", |o, _| {
        text_at(o, &["metadata", "creationTimestamp"])
    })
};

/// What a kind without columns of its own shows.
pub const DEFAULT: &[Column] = &[NAME, CREATED_AT];
/// Name and age.
pub const NAME_AGE: &[Column] = &[NAME, AGE];

/// A column of texts.
#[must_use]
pub const fn text(
    name: &'static str,
    description: &'static str,
    cell: fn(&Value, Timestamp) -> Cell,
) -> Column {
    Column { name, kind: "string", format: "", description, priority: 0, cell }
}

/// A column of texts that is shown with `-o wide` only.
#[must_use]
pub const fn wide(
    name: &'static str,
    description: &'static str,
    cell: fn(&Value, Timestamp) -> Cell,
) -> Column {
    Column { priority: 1, ..text(name, description, cell) }
}

/// A column of numbers.
#[must_use]
pub const fn int(
    name: &'static str,
    description: &'static str,
    cell: fn(&Value, Timestamp) -> Cell,
) -> Column {
    Column { kind: "integer", ..text(name, description, cell) }
}

/// A column of truth values.
#[must_use]
pub const fn boolean(
    name: &'static str,
    description: &'static str,
    cell: fn(&Value, Timestamp) -> Cell,
) -> Column {
    Column { kind: "boolean", ..text(name, description, cell) }
}

/// The text at `path`, empty when absent.
#[must_use]
pub fn text_at(o: &Value, path: &[&str]) -> Cell {
    Cell::Text(o.str_at(path).to_owned())
}

/// The text at `path`, `placeholder` when absent or empty.
#[must_use]
pub fn text_or(o: &Value, path: &[&str], placeholder: &str) -> Cell {
    let s = o.str_at(path);
    Cell::Text(if s.is_empty() { placeholder } else { s }.to_owned())
}

/// The number at `path`, 0 when absent.
#[must_use]
pub fn int_or_zero(o: &Value, path: &[&str]) -> Cell {
    Cell::Int(o.int_at(path).unwrap_or(0))
}

/// The age of the time at `path`, `<unknown>` when absent.
#[must_use]
pub fn age_of(o: &Value, path: &[&str], now: Timestamp) -> String {
    meta::time::age(o.str_at(path), now)
}

/// `a=b,c=d` in key order, `<none>` when empty.
// k8s: staging/src/k8s.io/apimachinery/pkg/labels FormatLabels
#[must_use]
pub fn labels_text(labels: Option<&Value>) -> String {
    let mut pairs: Vec<String> = labels
        .and_then(Value::as_map)
        .map(|m| m.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect())
        .unwrap_or_default();
    pairs.sort();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// A LabelSelector in its textual form, `<none>` when empty or absent, `<error>` when it is not valid.
// k8s: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go FormatLabelSelector
#[must_use]
pub fn selector_text(selector: Option<&Value>) -> String {
    match crate::rules::selector_of(selector) {
        Ok(s) if s.is_nothing() || s.is_empty() => "<none>".to_owned(),
        Ok(s) => s.to_string(),
        Err(_) => "<error>".to_owned(),
    }
}

/// Names of the containers in a list, separated by commas.
#[must_use]
pub fn container_names(containers: &[Value]) -> String {
    joined(containers, "name")
}

/// Images of the containers in a list, separated by commas.
#[must_use]
pub fn container_images(containers: &[Value]) -> String {
    joined(containers, "image")
}

fn joined(list: &[Value], field: &str) -> String {
    list.iter().map(|c| c.str_at(&[field])).collect::<Vec<_>>().join(",")
}

const TEMPLATE_CONTAINERS: &[&str] = &["spec", "template", "spec", "containers"];

/// Container names of `spec.template`.
pub const CONTAINERS: Column = wide("Containers", "Names of the containers of the template.", |o, _| {
    Cell::Text(container_names(o.list_at(TEMPLATE_CONTAINERS)))
});
/// Container images of `spec.template`.
pub const IMAGES: Column = wide("Images", "Images of the containers of the template.", |o, _| {
    Cell::Text(container_images(o.list_at(TEMPLATE_CONTAINERS)))
});
/// `spec.selector` as a LabelSelector.
pub const SELECTOR: Column = wide("Selector", "The label selector of the pods.", |o, _| {
    Cell::Text(selector_text(o.at(&["spec", "selector"])))
});

//! A node of a schema: what it says of the structure of a value, and what it demands of the value.
//! Nodes below `allOf`, `anyOf`, `oneOf` and `not` are of the same form, but give no structure.
//! It must never hold what `compile` refused to read.

use std::sync::Arc;

use super::pattern::Pattern;
use crate::Value;

/// `type`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodeType {
    /// Not given.
    #[default]
    Unset,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// What no schema may say.
    Other(Box<str>),
}

impl NodeType {
    /// As it is written; empty when not given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            NodeType::Unset => "",
            NodeType::Object => "object",
            NodeType::Array => "array",
            NodeType::String => "string",
            NodeType::Integer => "integer",
            NodeType::Number => "number",
            NodeType::Boolean => "boolean",
            NodeType::Other(name) => name,
        }
    }

    pub(super) fn read(text: &str) -> NodeType {
        match text {
            "" => NodeType::Unset,
            "object" => NodeType::Object,
            "array" => NodeType::Array,
            "string" => NodeType::String,
            "integer" => NodeType::Integer,
            "number" => NodeType::Number,
            "boolean" => NodeType::Boolean,
            other => NodeType::Other(other.into()),
        }
    }

    pub(super) const fn is_set(&self) -> bool {
        !matches!(self, NodeType::Unset)
    }
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    Atomic,
    Set,
    Map,
    /// What no schema may say.
    Other(Box<str>),
}

/// `additionalProperties`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Additional {
    /// Not given.
    #[default]
    Unset,
    /// Any, or none.
    Bool(bool),
    Schema(Box<Node>),
}

impl Additional {
    pub(super) const fn is_set(&self) -> bool {
        !matches!(self, Additional::Unset)
    }

    /// The schema of entries that `properties` does not name.
    #[must_use]
    pub fn schema(&self) -> Option<&Node> {
        if let Additional::Schema(node) = self { Some(node) } else { None }
    }
}

/// What a value must fulfil besides its structure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    pub format: Box<str>,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    /// In characters.
    pub max_length: Option<i64>,
    /// In characters.
    pub min_length: Option<i64>,
    pub pattern: Option<Arc<Pattern>>,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub unique_items: bool,
    pub multiple_of: Option<f64>,
    pub enum_values: Vec<Value>,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub required: Vec<Box<str>>,
    pub all_of: Vec<Node>,
    pub one_of: Vec<Node>,
    pub any_of: Vec<Node>,
    pub not: Option<Box<Node>>,
}

/// A schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub ty: NodeType,
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`: true, or not given.
    pub preserve_unknown_fields: bool,
    /// `x-kubernetes-embedded-resource`
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`
    pub int_or_string: bool,
    /// Sorted by name.
    pub properties: Vec<(Box<str>, Node)>,
    pub additional: Additional,
    pub items: Option<Box<Node>>,
    pub default: Option<Box<Value>>,
    pub list_kind: Option<ListKind>,
    /// `x-kubernetes-list-map-keys`
    pub list_map_keys: Vec<Box<str>>,
    /// `x-kubernetes-map-type`: `atomic`, `granular`.
    pub map_kind: Option<Box<str>>,
    pub checks: Option<Box<Checks>>,
    pub words: Option<Box<Words>>,
    /// `x-kubernetes-validations`, as they are written.
    pub rules: Vec<Value>,
}

/// What a schema says to readers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    pub title: Box<str>,
    pub description: Box<str>,
    pub external_docs: Option<Value>,
    pub example: Option<Value>,
}

impl Node {
    /// The schema of the property `name`, if `properties` names it.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Node> {
        let at = self.properties.binary_search_by(|(n, _)| n.as_ref().cmp(name)).ok()?;
        Some(&self.properties[at].1)
    }

    /// The schema of the entry `name`: that of the property, else that of additional ones.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Node> {
        self.property(name).or_else(|| self.additional.schema())
    }

    /// Whether a list is one unit for who applies it.
    #[must_use]
    pub fn is_atomic_list(&self) -> bool {
        matches!(self.list_kind, None | Some(ListKind::Atomic | ListKind::Other(_)))
    }

    /// Whether an object is one unit for who applies it.
    #[must_use]
    pub fn is_atomic_map(&self) -> bool {
        self.map_kind.as_deref() == Some("atomic")
    }

    pub(super) fn checks(&self) -> &Checks {
        static NONE: std::sync::LazyLock<Checks> = std::sync::LazyLock::new(Checks::default);
        self.checks.as_deref().unwrap_or(&NONE)
    }

    /// Whether a null here counts as a value: else it is as if it were not there.
    pub(super) const fn drops_null(&self) -> bool {
        !self.nullable
    }
}

/// Whether `anyOf` is `[{type: integer}, {type: string}]`, which may stand below `x-kubernetes-int-or-string`.
pub(super) fn is_integer_or_string(any_of: &[Node]) -> bool {
    let is = |n: &Node, ty: NodeType| *n == Node { ty, ..Node::default() };
    matches!(any_of, [a, b] if is(a, NodeType::Integer) && is(b, NodeType::String))
}

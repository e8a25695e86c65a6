//! Which version of OpenAPI is written, and how JSON is put together.

use crate::{Map, Value};

/// Which version of OpenAPI is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    V2,
    V3,
}

impl Dialect {
    /// A reference to a definition.
    #[must_use]
    pub fn reference(self, name: &str) -> String {
        match self {
            Dialect::V2 => format!("#/definitions/{name}"),
            Dialect::V3 => format!("#/components/schemas/{name}"),
        }
    }
}

/// Entries to a map.
pub fn object<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    let mut map = Map::new();
    for (key, value) in entries {
        map.0.push((key.into(), value));
    }
    Value::Map(map)
}

/// A list of texts.
pub fn strings<'a>(items: impl IntoIterator<Item = &'a str>) -> Value {
    Value::List(items.into_iter().map(Value::from).collect())
}

//! What the tests of this crate share.

use schema::{Map, Value};

/// A value from YAML.
pub fn yaml(text: &str) -> Value {
    let json: serde_json::Value = serde_saphyr::from_str(text).expect("a test's YAML is valid");
    value(json)
}

fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(b),
        serde_json::Value::Number(n) => match n.as_i64() {
            Some(i) => Value::Int(i),
            None => Value::Float(n.as_f64().expect("a test's numbers fit")),
        },
        serde_json::Value::String(s) => Value::from(s),
        serde_json::Value::Array(l) => Value::List(l.into_iter().map(value).collect()),
        serde_json::Value::Object(m) => {
            Value::Map(Map(m.into_iter().map(|(k, v)| (k.into(), value(v))).collect()))
        }
    }
}

/// The messages of errors.
pub fn texts(errors: &[meta::FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// The cells of an object by column name.
pub fn row(kind: &'static crate::Kind, object: &Value, now: &str) -> Vec<(&'static str, String)> {
    let now = meta::time::parse(now).expect("a test's time is valid");
    let show = |c: crate::Cell| match c {
        crate::Cell::Text(t) => t,
        crate::Cell::Int(n) => n.to_string(),
        crate::Cell::Float(f) => f.to_string(),
        crate::Cell::Bool(b) => b.to_string(),
        crate::Cell::Null => "null".to_owned(),
    };
    let crate::columns::Columns::Builtin(columns) = kind.columns() else { return Vec::new() };
    columns.iter().map(|c| (c.name, show((c.cell)(object, now)))).collect()
}

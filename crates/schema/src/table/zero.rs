//! Go's zero values: which of them are absence, and what is written where a field is absent.
//! It must never depend on how values are written.

use std::sync::LazyLock;

use super::{Field, Type};
use crate::{Map, Value};

static NULL: Value = Value::Null;
static FALSE: Value = Value::Bool(false);
static ZERO: Value = Value::Int(0);
static EMPTY: Value = Value::Map(Map::new());
static NO_TEXT: LazyLock<Value> = LazyLock::new(|| Value::from(""));
static ZERO_TEXT: LazyLock<Value> = LazyLock::new(|| Value::from("0"));
static ZERO_SECONDS: LazyLock<Value> = LazyLock::new(|| Value::from("0s"));

impl Field {
    /// Whether Go would not tell the value from absence.
    pub fn is_dropped(&self, value: &Value) -> bool {
        if self.is(Field::POINTER) {
            return false;
        }
        match value {
            Value::Null => true,
            Value::Bool(b) => !b && self.ty == Type::Bool,
            Value::Int(i) => *i == 0 && matches!(self.ty, Type::Int32 | Type::Int64 | Type::IntOrString),
            Value::Float(f) => *f == 0.0 && self.ty == Type::Float,
            Value::Str(s) => match self.ty {
                Type::String | Type::Named(_) => s.is_empty(),
                Type::Bytes => s.is_empty() && self.is(Field::OMITEMPTY),
                _ => false,
            },
            Value::List(l) => {
                l.is_empty()
                    && self.is(Field::OMITEMPTY)
                    && matches!(self.ty, Type::List(_) | Type::MessageList(_))
            }
            Value::Map(m) => match self.ty {
                Type::Struct(_) => m.is_empty(),
                Type::Map(_) => m.is_empty() && self.is(Field::OMITEMPTY),
                _ => false,
            },
        }
    }

    /// What Go writes where a field is absent; `None` where it writes nothing. A struct is written with the zeros of its
    /// own fields.
    pub fn written_zero(&self) -> Option<&'static Value> {
        let is_struct = !self.is(Field::POINTER)
            && !matches!(
                self.ty,
                Type::Bool
                    | Type::String
                    | Type::Named(_)
                    | Type::Int32
                    | Type::Int64
                    | Type::Float
                    | Type::Bytes
                    | Type::Any
                    | Type::List(_)
                    | Type::MessageList(_)
                    | Type::Map(_)
            );
        if self.is(Field::OMITZERO) || (self.is(Field::OMITEMPTY) && !is_struct) {
            return None;
        }
        if self.is(Field::POINTER) {
            return Some(&NULL);
        }
        Some(match self.ty {
            Type::Struct(_) => &EMPTY,
            Type::Bool => &FALSE,
            Type::String | Type::Named(_) => &NO_TEXT,
            Type::Int32 | Type::Int64 | Type::Float | Type::IntOrString => &ZERO,
            Type::Quantity => &ZERO_TEXT,
            Type::Duration => &ZERO_SECONDS,
            _ => &NULL,
        })
    }
}

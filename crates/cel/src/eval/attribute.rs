//! Variables, and what is selected from them by fields and indices, with optional values on the way.
//! It must never look further than it is asked to.
// k8s: github.com/google/cel-go interpreter/attributes.go

use super::node::{Attribute, Qualifier, QualifierKey, Root};
use super::run::{Run, Slot};
use crate::error::Error;
use crate::value::{Value, number};

impl<'a> Run<'a, '_> {
    pub(super) fn charge_attribute(&mut self, attribute: &Attribute) -> Result<(), Error> {
        // A conditional costs what its parts do.
        self.charge(u64::from(!matches!(attribute.root, Root::Conditional(_))))
    }

    pub(super) fn test(&mut self, attribute: &'a Attribute) -> Result<Value<'a>, Error> {
        match self.resolve(attribute)? {
            Value::Optional(o) => Ok(Value::Bool(o.is_some())),
            other => Ok(other),
        }
    }

    /// The value, without the cost of having asked.
    pub(super) fn resolve(&mut self, attribute: &'a Attribute) -> Result<Value<'a>, Error> {
        let value = match &attribute.root {
            Root::Variable(name) => self
                .variables
                .get(name)
                .unwrap_or_else(|| Err(Error::new(format!("no such attribute(s): {name}")))),
            Root::Local(slot) => self.local(*slot),
            Root::Value(node) => self.exec(node),
            Root::Conditional(parts) => {
                let (condition, yes, no) = &**parts;
                match self.exec(condition)? {
                    Value::Bool(true) => self.resolve(yes),
                    Value::Bool(false) => self.resolve(no),
                    _ => Err(Error::no_such_overload()),
                }
            }
        }?;
        if attribute.qualifiers.is_empty() {
            Ok(value)
        } else {
            self.qualify_all(value, &attribute.qualifiers)
        }
    }

    fn local(&mut self, slot: usize) -> Result<Value<'a>, Error> {
        match self.locals.get(slot) {
            Some(Slot::Set(value)) => Ok(value.clone()),
            Some(Slot::Failed(error)) => Err(error.clone()),
            Some(Slot::Lazy(fold)) => {
                let fold = *fold;
                // It sees what was local where it was written, and must not disturb what is local here.
                let inner = self.locals.split_off(slot);
                let value = self.exec(&fold.init);
                self.locals.truncate(slot);
                self.locals.extend(inner);
                if let Some(place) = self.locals.get_mut(slot) {
                    *place = match &value {
                        Ok(value) => Slot::Set(value.clone()),
                        Err(error) => Slot::Failed(error.clone()),
                    };
                }
                value
            }
            Some(Slot::Unset) | None => Err(Error::new("no such attribute(s)")),
        }
    }

    fn qualify_all(&mut self, value: Value<'a>, qualifiers: &'a [Qualifier]) -> Result<Value<'a>, Error> {
        let (mut value, mut optional) = match value {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => (Value::clone(&inner), true),
            other => (other, false),
        };
        for qualifier in qualifiers {
            optional = optional || qualifier.optional;
            let found = self.qualify(&value, qualifier, optional)?;
            value = match found {
                Some(value) => value,
                None if qualifier.test && !optional => return Ok(Value::Bool(false)),
                None => return Ok(Value::Optional(None)),
            };
        }
        Ok(if optional { Value::some(value) } else { value })
    }

    /// What one qualifier finds; nothing is an error unless presence is asked.
    fn qualify(
        &mut self,
        value: &Value<'a>,
        qualifier: &'a Qualifier,
        optional: bool,
    ) -> Result<Option<Value<'a>>, Error> {
        let presence = optional || qualifier.test;
        let found = match &qualifier.key {
            QualifierKey::Const(key) => {
                checked(key)?;
                find(value, key, presence)
            }
            QualifierKey::Attribute(attribute) => {
                let key = self.resolve(attribute)?;
                checked(&key)?;
                find(value, &key, presence)
            }
            QualifierKey::Value(node) => {
                let key = self.exec(node)?;
                checked(&key)?;
                find(value, &key, presence)
            }
        };
        if !matches!(found, Ok(None)) || (qualifier.test && !optional) {
            self.charge(1)?;
        }
        Ok(found?.map(|v| if qualifier.test { Value::Bool(true) } else { v }))
    }
}

/// Only some values can be asked with.
pub(super) fn checked(key: &Value<'_>) -> Result<(), Error> {
    match key {
        Value::Str(_) | Value::Int(_) | Value::Uint(_) | Value::Bool(_) | Value::Double(_) => Ok(()),
        // Upstream names its own types of values.
        other => Err(Error::new(format!("invalid qualifier type: {}", own_name(other)))),
    }
}

/// What upstream calls its own type of a value.
pub(super) fn own_name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::Uint(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::Str(_) => "types.String",
        Value::Null => "types.Null",
        Value::Bytes(_) => "types.Bytes",
        Value::Timestamp(_) => "types.Timestamp",
        Value::Duration(_) => "types.Duration",
        Value::List(_) => "*types.baseList",
        Value::Map(_) => "*types.baseMap",
        Value::Type(_) => "*types.Type",
        Value::Optional(_) => "*types.Optional",
        _ => "ref.Val",
    }
}

/// The index that a value is.
// k8s: github.com/google/cel-go common/types/list.go IndexOrError
fn index(key: &Value<'_>) -> Result<i64, Error> {
    match key {
        Value::Int(i) => Some(*i),
        Value::Uint(u) => i64::try_from(*u).ok(),
        Value::Double(d) => number::exact_int(*d),
        other => {
            return Err(Error::new(format!("unsupported index type '{}' in list", other.type_name())));
        }
    }
    .ok_or_else(|| Error::new(format!("unsupported index value {key} in list")))
}

/// What a value has at a key.
// k8s: github.com/google/cel-go interpreter/attributes.go refQualify
fn find<'a>(value: &Value<'a>, key: &Value<'_>, presence: bool) -> Result<Option<Value<'a>>, Error> {
    match value {
        Value::Map(map) => match map.get(key) {
            Some(found) => Ok(Some(found)),
            None if presence => Ok(None),
            None => Err(Error::no_such_key(key)),
        },
        Value::List(list) => {
            let at = index(key)?;
            match usize::try_from(at).ok().and_then(|at| list.get(at)) {
                Some(found) => Ok(Some(found)),
                None if presence => Ok(None),
                None => Err(Error::new(format!("index out of bounds: {key}"))),
            }
        }
        Value::Object(object) => {
            let name = key.as_str().unwrap_or("");
            match object.get(name) {
                Some(found) => Ok(Some(found.clone())),
                None if presence => Ok(None),
                None => Err(Error::new(format!("no such field '{name}'"))),
            }
        }
        _ if presence => Ok(None),
        _ => Err(Error::no_such_key(key)),
    }
}

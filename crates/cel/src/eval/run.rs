//! One evaluation: its local variables, what it has cost, what it may still cost.
//! It must never go on when its budget is used up.
// k8s: github.com/google/cel-go interpreter/interpretable.go, runtimecost.go

use super::activation::Activation;
use super::node::{FoldNode, Node};
use crate::cost::range::{LIST_BASE, MAP_BASE, STRUCT_BASE, scale};
use crate::cost::rules::Rule;
use crate::error::Error;
use crate::meter::Meter;
use crate::value::{Insert, Key, Map, Object, OwnedMap, Value, equal, loan};
use std::collections::HashSet;
use std::sync::Arc;

/// One evaluation.
pub struct Run<'a, 'v> {
    pub(super) variables: &'v dyn Activation<'a>,
    pub(super) locals: Vec<Slot<'a>>,
    pub(super) meter: Meter<'v>,
}

/// A local variable.
#[derive(Clone)]
pub(super) enum Slot<'a> {
    Unset,
    /// What a name is bound to, evaluated when it is first read.
    Lazy(&'a FoldNode),
    Set(Value<'a>),
    Failed(Error),
}

impl<'a, 'v> Run<'a, 'v> {
    pub(super) fn new(variables: &'v dyn Activation<'a>, meter: Meter<'v>) -> Self {
        Run { variables, locals: Vec::new(), meter }
    }

    pub(super) fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.meter.charge(cost)
    }

    pub(super) fn exec(&mut self, node: &'a Node) -> Result<Value<'a>, Error> {
        match node {
            Node::Const(value) => Ok(loan(value)),
            Node::Attribute(attribute) => {
                let value = self.resolve(attribute);
                self.charge_attribute(attribute)?;
                value
            }
            Node::Test(attribute) => self.test(attribute),
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Equal(args) => self.equality(args, true).map(Value::Bool),
            Node::NotEqual(args) => self.equality(args, false).map(|e| Value::Bool(!e)),
            Node::Call(call) => self.call(call),
            Node::In(parts) => self.member(&parts.0, &parts.1),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Struct(name, fields) => self.message(name, fields),
            Node::Fold(fold) => self.fold(fold),
            Node::Otherwise(parts, unwrap) => self.otherwise(parts, *unwrap),
        }
    }

    /// Evaluates to a bool or an error.
    fn truth(&mut self, node: &'a Node) -> Result<bool, Error> {
        self.exec(node)?.as_bool().ok_or_else(Error::no_such_overload)
    }

    /// `&&` and `||`: the side that decides does, whatever is wrong with the other.
    fn logic(&mut self, terms: &'a [Node; 2], deciding: bool) -> Result<Value<'a>, Error> {
        let mut failed = None;
        for term in terms {
            match self.truth(term) {
                Ok(b) if b == deciding => return Ok(Value::Bool(b)),
                Ok(_) => {}
                Err(e) if e.is_cancelled() => return Err(e),
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        failed.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    /// Both values; when one has none, what a call with it costs is charged.
    pub(super) fn both(&mut self, args: [&'a Node; 2], rule: Rule) -> Result<[Value<'a>; 2], Error> {
        let (a, b) = (self.exec(args[0]), self.exec(args[1]));
        match (a, b) {
            (Ok(a), Ok(b)) => Ok([a, b]),
            (Err(e), _) if e.is_cancelled() => Err(e),
            (_, Err(e)) if e.is_cancelled() => Err(e),
            // What failed counts as a value of size one.
            (Err(e), other) => {
                self.charge(rule.actual(&[Value::Null, other.unwrap_or(Value::Null)], None))?;
                Err(e)
            }
            (Ok(a), Err(e)) => {
                self.charge(rule.actual(&[a, Value::Null], None))?;
                Err(e)
            }
        }
    }

    fn equality(&mut self, args: &'a [Node; 2], fixed: bool) -> Result<bool, Error> {
        let [a, b] = self.both([&args[0], &args[1]], Rule::Smaller)?;
        let opaque = fixed && matches!(a, Value::Opaque(_));
        self.charge(if opaque { 1 } else { scale(a.size().min(b.size()), 0.1) })?;
        equal(&a, &b, &mut self.meter.work)
    }

    /// `a.or(b)`, `a.orValue(b)`: the second is evaluated only when the first has no value.
    // k8s: github.com/google/cel-go cel/library.go evalOptionalOr
    fn otherwise(&mut self, parts: &'a [Node; 2], unwrap: bool) -> Result<Value<'a>, Error> {
        match self.exec(&parts[0])? {
            Value::Optional(None) => self.exec(&parts[1]),
            Value::Optional(Some(value)) if unwrap => Ok(Value::clone(&value)),
            some @ Value::Optional(_) => Ok(some),
            _ => Err(Error::no_such_overload()),
        }
    }

    fn member(&mut self, element: &'a Node, set: &HashSet<Key>) -> Result<Value<'a>, Error> {
        let value = self.exec(element)?;
        Ok(Value::Bool(Key::of(&value).is_some_and(|k| set.contains(&k))))
    }

    fn list(&mut self, elements: &'a [(Node, bool)]) -> Result<Value<'a>, Error> {
        self.charge(LIST_BASE)?;
        let mut values = Vec::with_capacity(elements.len());
        for (node, optional) in elements {
            let value = self.exec(node)?;
            match (optional, value) {
                (false, value) => values.push(value),
                (true, Value::Optional(Some(value))) => values.push(Value::clone(&value)),
                (true, Value::Optional(None)) => {}
                (true, other) => {
                    let message =
                        format!("cannot initialize optional list element from non-optional value {other}");
                    return Err(Error::new(message));
                }
            }
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'a [(Node, Node, bool)]) -> Result<Value<'a>, Error> {
        self.charge(MAP_BASE)?;
        let mut map = OwnedMap::default();
        for (key, value, optional) in entries {
            let key = self.exec(key)?;
            let value = match self.exec(value)? {
                Value::Optional(Some(value)) if *optional => Value::clone(&value),
                Value::Optional(None) if *optional => continue,
                other if *optional => {
                    let message =
                        format!("cannot initialize optional entry '{key}' from non-optional value {other}");
                    return Err(Error::new(message));
                }
                value => value,
            };
            insert(&mut map, key, value)?;
        }
        Ok(Value::Map(Map::from(map)))
    }

    fn message(&mut self, name: &Arc<str>, fields: &'a [(Arc<str>, Node, bool)]) -> Result<Value<'a>, Error> {
        self.charge(STRUCT_BASE)?;
        let mut out = Vec::with_capacity(fields.len());
        for (field, node, optional) in fields {
            match (optional, self.exec(node)?) {
                (false, value) => out.push((field.clone(), value)),
                (true, Value::Optional(Some(value))) => out.push((field.clone(), Value::clone(&value))),
                (true, Value::Optional(None)) => {}
                (true, other) => {
                    let message =
                        format!("cannot initialize optional entry '{field}' from non-optional value {other}");
                    return Err(Error::new(message));
                }
            }
        }
        Ok(Value::Object(Arc::new(Object { name: name.clone(), fields: out })))
    }
}

/// What is written last counts.
fn insert<'a>(map: &mut OwnedMap<'a>, key: Value<'a>, value: Value<'a>) -> Result<(), Error> {
    match map.set(key.clone(), value) {
        Insert::Done | Insert::Exists => Ok(()),
        Insert::NoKey => Err(Error::new(format!("unsupported key type: {}", key.type_name()))),
    }
}

//! Comprehensions: the loop that all macros over lists and maps become. What macros collect grows in place.
//! It must never read a range twice.
// k8s: github.com/google/cel-go interpreter/interpretable.go evalFold

use super::attribute::own_name;
use super::node::{Attribute, CallNode, FoldNode, Grows, Node, Root};
use super::run::{Run, Slot};
use crate::cost::range::LIST_BASE;
use crate::error::Error;
use crate::value::{List, Map, OwnedMap, Value};
use std::sync::Arc;

impl<'a> Run<'a, '_> {
    pub(super) fn fold(&mut self, fold: &'a FoldNode) -> Result<Value<'a>, Error> {
        let range = self.exec(&fold.range)?;
        let outside = self.locals.len();
        self.locals.resize(fold.slot + 3, Slot::Unset);
        let result = self.looped(fold, &range);
        self.locals.truncate(outside.max(fold.slot));
        result
    }

    fn looped(&mut self, fold: &'a FoldNode, range: &Value<'a>) -> Result<Value<'a>, Error> {
        if fold.bind {
            self.locals[fold.slot] = Slot::Lazy(fold);
            return self.exec(&fold.result);
        }
        self.locals[fold.slot] = match fold.grows {
            Grows::No => slot(self.exec(&fold.init))?,
            // An empty list or map that is nobody else's.
            Grows::List => Slot::Set(Value::list(Vec::new())),
            Grows::Map => Slot::Set(Value::Map(OwnedMap::default().into())),
        };
        match range {
            Value::List(list) => self.over_list(fold, list)?,
            Value::Map(map) => self.over_map(fold, map)?,
            other if fold.two => {
                let message = format!("unsupported comprehension range type: {}", own_name(other));
                return Err(Error::new(message));
            }
            other => {
                return Err(Error::new(format!("got '{}', expected iterable type", own_name(other))));
            }
        }
        self.exec(&fold.result)
    }

    fn over_list(&mut self, fold: &'a FoldNode, list: &List<'a>) -> Result<(), Error> {
        for at in 0..list.len() {
            let Some(value) = list.get(at) else { break };
            if fold.two {
                self.locals[fold.slot + 1] = Slot::Set(Value::Int(i64::try_from(at).unwrap_or(i64::MAX)));
                self.locals[fold.slot + 2] = Slot::Set(value);
            } else {
                self.locals[fold.slot + 1] = Slot::Set(value);
            }
            if !self.once(fold)? {
                break;
            }
        }
        Ok(())
    }

    fn over_map(&mut self, fold: &'a FoldNode, map: &Map<'a>) -> Result<(), Error> {
        for at in 0..map.len() {
            let Some((key, value)) = map.entry(at) else { break };
            self.locals[fold.slot + 1] = Slot::Set(key);
            if fold.two {
                self.locals[fold.slot + 2] = Slot::Set(value);
            }
            if !self.once(fold)? {
                break;
            }
        }
        Ok(())
    }

    /// One round; false when the condition says that it is enough.
    fn once(&mut self, fold: &'a FoldNode) -> Result<bool, Error> {
        let condition = match self.exec(&fold.condition) {
            Err(e) if e.is_cancelled() => return Err(e),
            other => other,
        };
        if matches!(condition, Ok(Value::Bool(false))) {
            return Ok(false);
        }
        // A failed accumulator stays with the general way, which hands the failure on.
        let healthy = matches!(self.locals[fold.slot], Slot::Set(_));
        let next = match fold.grows {
            Grows::No => self.exec(&fold.step),
            _ if !healthy => self.exec(&fold.step),
            _ => return self.grow(fold, &fold.step).map(|()| true),
        };
        self.locals[fold.slot] = slot(next)?;
        Ok(true)
    }

    /// A step that adds to the accumulator, or leaves it.
    fn grow(&mut self, fold: &'a FoldNode, step: &'a Node) -> Result<(), Error> {
        let failed = match self.try_grow(fold, step) {
            Ok(()) => return Ok(()),
            Err(e) if e.is_cancelled() => return Err(e),
            Err(e) => e,
        };
        self.locals[fold.slot] = Slot::Failed(failed);
        Ok(())
    }

    fn try_grow(&mut self, fold: &'a FoldNode, step: &'a Node) -> Result<(), Error> {
        let call = match step {
            Node::Attribute(Attribute { root: Root::Conditional(parts), .. }) => {
                let (condition, yes, _) = &**parts;
                match self.exec(condition)? {
                    Value::Bool(true) => {}
                    // The accumulator as it is: read without cost, as all branches are.
                    Value::Bool(false) => return Ok(()),
                    _ => return Err(Error::no_such_overload()),
                }
                let Root::Value(node) = &yes.root else { return Err(Error::no_such_overload()) };
                node
            }
            node => node,
        };
        let Node::Call(call) = call else { return Err(Error::no_such_overload()) };
        // Reading the accumulator.
        self.charge(1)?;
        match fold.grows {
            Grows::List => self.push(fold, call),
            _ => self.insert(fold, call),
        }
    }

    fn push(&mut self, fold: &'a FoldNode, call: &'a CallNode) -> Result<(), Error> {
        let value = match call.args.get(1) {
            Some(Node::List(elements)) => match &elements[..] {
                [(node, false)] => {
                    // The list, and joining it, whether there is a value or not.
                    self.charge(LIST_BASE + 1)?;
                    let Slot::Set(Value::List(List::Owned(_))) = &self.locals[fold.slot] else {
                        return Err(Error::no_such_overload());
                    };
                    let value = self.exec(node)?;
                    return self.append(fold, value);
                }
                _ => self.first(&call.args[1])?,
            },
            Some(node) => self.first(node)?,
            None => None,
        };
        self.charge(1)?;
        value.map_or(Ok(()), |value| self.append(fold, value))
    }

    fn append(&mut self, fold: &'a FoldNode, value: Value<'a>) -> Result<(), Error> {
        let Slot::Set(Value::List(List::Owned(list))) = &mut self.locals[fold.slot] else {
            return Err(Error::no_such_overload());
        };
        Arc::make_mut(list).push(value);
        Ok(())
    }

    /// The one element of a list, if it has one.
    fn first(&mut self, node: &'a Node) -> Result<Option<Value<'a>>, Error> {
        let list = self.exec(node)?;
        Ok(list.as_list().and_then(|l| l.get(0)))
    }

    fn insert(&mut self, fold: &'a FoldNode, call: &'a CallNode) -> Result<(), Error> {
        self.charge(1)?;
        let mut values = Vec::with_capacity(2);
        for node in &call.args[1..] {
            values.push(self.exec(node)?);
        }
        let Slot::Set(Value::Map(Map::Owned(map))) = &mut self.locals[fold.slot] else {
            return Err(Error::no_such_overload());
        };
        let map = Arc::make_mut(map);
        match &values[..] {
            [key, value] => map.add(key.clone(), value.clone()),
            [Value::Map(entries)] => entries.iter().try_for_each(|(k, v)| map.add(k, v)),
            _ => Err(Error::no_such_overload()),
        }
    }
}

/// A value, or why there is none, which is kept unless the budget is used up.
fn slot(value: Result<Value<'_>, Error>) -> Result<Slot<'_>, Error> {
    match value {
        Ok(value) => Ok(Slot::Set(value)),
        Err(e) if e.is_cancelled() => Err(e),
        Err(e) => Ok(Slot::Failed(e)),
    }
}

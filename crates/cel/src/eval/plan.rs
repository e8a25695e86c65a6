//! Checked tree to program: references resolved, constants folded, calls bound to overloads.
//! It must never fold what depends on a variable.
// k8s: github.com/google/cel-go interpreter/planner.go, decorators.go decOptimize

use super::activation::NoVariables;
use super::attribute;
use super::node::{Attribute, CallNode, FoldNode, Grows, Node, Qualifier, QualifierKey, Root};
use super::run::Run;
use crate::ast::{self, ACCUMULATOR, Element, Entry, Expr, Field, Fold, Kind, Literal};
use crate::check::{Checked, Reference};
use crate::cost::rules;
use crate::env::Function;
use crate::error::Error;
use crate::meter::Meter;
use crate::value::{Key, Map, OwnedMap, Value};
use regex::Regex;
use std::collections::{HashMap, HashSet};

/// Steps of the tree.
pub(super) fn plan(checked: &Checked) -> Result<(Node, HashMap<String, Regex>), Error> {
    let mut planner = Planner { checked, locals: Vec::new(), regexes: HashMap::new() };
    let root = planner.node(checked.expr())?;
    Ok((root, planner.regexes))
}

struct Planner<'c> {
    checked: &'c Checked,
    locals: Vec<&'c str>,
    /// Those written out, compiled.
    regexes: HashMap<String, Regex>,
}

/// Functions that are evaluated at once when what they convert is constant.
const CONVERSIONS: [&str; 11] =
    ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint", "list"];
/// More constants than this are looked through one by one.
const MAX_SET: usize = 100_000;

type Planned = Result<Node, Error>;

impl<'c> Planner<'c> {
    fn node(&mut self, expr: &'c Expr) -> Planned {
        match &expr.kind {
            Kind::Unspecified => Err(Error::new("expression is not whole")),
            Kind::Literal(literal) => Ok(Node::Const(constant(literal))),
            Kind::Ident(name) => Ok(self.ident(expr, name)),
            Kind::Select { operand, field, test_only } => {
                let key = QualifierKey::Const(Value::str(field.clone()));
                self.qualified(operand, Qualifier { key, optional: false, test: *test_only })
            }
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.message(name, fields),
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn ident(&self, expr: &Expr, name: &'c str) -> Node {
        let root = match self.checked.reference(expr.id) {
            Some(Reference::Type(ty)) => return Node::Const(Value::Type(ty.clone())),
            Some(Reference::Variable(name)) => Root::Variable(name.clone()),
            _ => match self.locals.iter().rposition(|l| *l == name) {
                Some(slot) => Root::Local(slot),
                None => Root::Variable(name.into()),
            },
        };
        Node::Attribute(Attribute { root, qualifiers: Vec::new() })
    }

    /// The operand as an attribute with one qualifier more.
    fn qualified(&mut self, operand: &'c Expr, qualifier: Qualifier) -> Planned {
        let mut attribute = match self.node(operand)? {
            Node::Attribute(attribute) => attribute,
            other => Attribute { root: Root::Value(Box::new(other)), qualifiers: Vec::new() },
        };
        let test = qualifier.test;
        attribute.qualifiers.push(qualifier);
        Ok(if test { Node::Test(attribute) } else { Node::Attribute(attribute) })
    }

    fn call(
        &mut self,
        expr: &'c Expr,
        function: &str,
        target: Option<&'c Expr>,
        args: &'c [Expr],
    ) -> Planned {
        match (function, args) {
            ("_&&_", [a, b]) => return Ok(Node::And(self.pair(a, b)?)),
            ("_||_", [a, b]) => return Ok(Node::Or(self.pair(a, b)?)),
            ("_==_", [a, b]) => return Ok(Node::Equal(self.pair(a, b)?)),
            ("_!=_", [a, b]) => return Ok(Node::NotEqual(self.pair(a, b)?)),
            ("_?_:_", [condition, yes, no]) => {
                let parts = (self.node(condition)?, self.branch(yes)?, self.branch(no)?);
                let root = Root::Conditional(Box::new(parts));
                return Ok(Node::Attribute(Attribute { root, qualifiers: Vec::new() }));
            }
            ("_[_]", [operand, index]) => return self.index(operand, index, false),
            ("_[?_]" | "_?._", [operand, index]) => return self.index(operand, index, true),
            _ => {}
        }
        if let (Some(target), [other], "or" | "orValue") = (target, args, function) {
            return Ok(Node::Otherwise(self.pair(target, other)?, function == "orValue"));
        }
        let mut planned = Vec::with_capacity(args.len() + 1);
        for arg in target.into_iter().chain(args) {
            planned.push(self.node(arg)?);
        }
        if let ("matches" | "find" | "findAll", Some(Node::Const(Value::Str(pattern)))) =
            (function, planned.get(1))
            && !self.regexes.contains_key(&**pattern)
        {
            self.regexes.insert(pattern.to_string(), crate::re2::compile(pattern)?);
        }
        let declared = self.checked.env.function(function);
        let declared = declared.ok_or_else(|| Error::new(format!("no such overload: {function}")))?;
        self.bound(expr, declared, target.is_some(), planned)
    }

    fn bound(&self, expr: &Expr, declared: &Function, receiver: bool, args: Vec<Node>) -> Planned {
        let ids = self.checked.overloads(expr.id);
        let sure = ids.len() == 1;
        let overloads: Vec<_> = declared
            .overloads
            .iter()
            .filter(|o| o.receiver == receiver && o.args.len() == args.len())
            .filter(|o| !sure || ids.contains(&o.id))
            .cloned()
            .collect();
        let known = if sure { ids.first().copied() } else { None };
        let rule = rules::rule(declared.name, known);
        if known == Some("in_list")
            && let [_, Node::Const(Value::List(list))] = &args[..]
        {
            if list.is_empty() {
                return Ok(Node::Const(Value::Bool(false)));
            }
            if let Some(set) = key_set(list) {
                let element = args.into_iter().next().expect("in has two arguments");
                return Ok(Node::In(Box::new((element, set))));
            }
        }
        let fold = CONVERSIONS.contains(&declared.name) && matches!(&args[..], [Node::Const(_)]);
        let call = CallNode { function: declared.name, overloads, sure, args, rule };
        let node = Node::Call(Box::new(call));
        if fold { folded(&node) } else { Ok(node) }
    }

    fn pair(&mut self, a: &'c Expr, b: &'c Expr) -> Result<Box<[Node; 2]>, Error> {
        Ok(Box::new([self.node(a)?, self.node(b)?]))
    }

    fn branch(&mut self, expr: &'c Expr) -> Result<Attribute, Error> {
        Ok(match self.node(expr)? {
            Node::Attribute(attribute) => attribute,
            other => Attribute { root: Root::Value(Box::new(other)), qualifiers: Vec::new() },
        })
    }

    fn index(&mut self, operand: &'c Expr, index: &'c Expr, optional: bool) -> Planned {
        let key = match self.node(index)? {
            Node::Const(value) => {
                attribute::checked(&value)?;
                QualifierKey::Const(value)
            }
            Node::Attribute(attribute) => QualifierKey::Attribute(attribute),
            other => QualifierKey::Value(other),
        };
        self.qualified(operand, Qualifier { key, optional, test: false })
    }

    fn list(&mut self, elements: &'c [Element]) -> Planned {
        let mut planned = Vec::with_capacity(elements.len());
        for e in elements {
            planned.push((self.node(&e.value)?, e.optional));
        }
        let constant = planned.iter().all(|(n, optional)| matches!(n, Node::Const(_)) && !optional);
        let node = Node::List(planned);
        if constant { folded(&node) } else { Ok(node) }
    }

    fn map(&mut self, entries: &'c [Entry]) -> Planned {
        let mut planned = Vec::with_capacity(entries.len());
        for e in entries {
            planned.push((self.node(&e.key)?, self.node(&e.value)?, e.optional));
        }
        let is_const = |n: &Node| matches!(n, Node::Const(_));
        let constant = planned.iter().all(|(k, v, optional)| is_const(k) && is_const(v) && !optional);
        let node = Node::Map(planned);
        if constant { folded(&node) } else { Ok(node) }
    }

    fn message(&mut self, name: &str, fields: &'c [Field]) -> Planned {
        let mut planned = Vec::with_capacity(fields.len());
        for f in fields {
            planned.push((f.name.as_str().into(), self.node(&f.value)?, f.optional));
        }
        Ok(Node::Struct(name.into(), planned))
    }

    fn fold(&mut self, fold: &'c Fold) -> Planned {
        let init = self.node(&fold.init)?;
        let range = self.node(&fold.range)?;
        let slot = self.locals.len();
        self.locals.push(&fold.accu);
        self.locals.push(&fold.var);
        self.locals.extend(fold.var2.as_deref());
        let condition = self.node(&fold.condition)?;
        let step = self.node(&fold.step)?;
        self.locals.truncate(slot + 1);
        let result = self.node(&fold.result)?;
        self.locals.truncate(slot);
        Ok(Node::Fold(Box::new(FoldNode {
            range,
            init,
            condition,
            step,
            result,
            two: fold.var2.is_some(),
            slot,
            grows: grows(fold),
            bind: ast::is_bind(fold),
        })))
    }
}

/// Whether a step is one of those that macros make to collect, so that the accumulator may grow where it is.
fn grows(fold: &Fold) -> Grows {
    let accu = |e: &Expr| e.as_ident() == Some(ACCUMULATOR);
    let step = match &fold.step.kind {
        Kind::Call { function, args, .. } if function == "_?_:_" && args.len() == 3 && accu(&args[2]) => {
            &args[1]
        }
        _ => &fold.step,
    };
    let Kind::Call { function, args, .. } = &step.kind else { return Grows::No };
    let empty_list = matches!(&fold.init.kind, Kind::List(e) if e.is_empty());
    let empty_map = matches!(&fold.init.kind, Kind::Map(e) if e.is_empty());
    match (function.as_str(), &args[..]) {
        ("_+_", [a, b]) if accu(a) && empty_list && matches!(&b.kind, Kind::List(e) if e.len() == 1) => {
            Grows::List
        }
        ("cel.@mapInsert", [a, ..]) if accu(a) && empty_map => Grows::Map,
        _ => Grows::No,
    }
}

fn constant(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(b) => Value::Bool(*b),
        Literal::Int(i) => Value::Int(*i),
        Literal::Uint(u) => Value::Uint(*u),
        Literal::Double(d) => Value::Double(*d),
        Literal::Str(s) => Value::str(s.clone()),
        Literal::Bytes(b) => Value::Bytes(b.clone().into()),
    }
}

/// What a node without variables evaluates to.
fn folded(node: &Node) -> Planned {
    let none = HashMap::new();
    let mut run = Run::new(&NoVariables, Meter::new(u64::MAX, &none));
    let value = fixed(&run.exec(node)?);
    Ok(Node::Const(value))
}

/// A value as one that borrows nothing.
fn fixed(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Null => Value::Null,
        Value::Bool(b) => Value::Bool(*b),
        Value::Int(i) => Value::Int(*i),
        Value::Uint(u) => Value::Uint(*u),
        Value::Double(d) => Value::Double(*d),
        Value::Str(s) => Value::str(s.to_string()),
        Value::Bytes(b) => Value::Bytes(b.to_vec().into()),
        Value::List(l) => {
            Value::List(crate::value::List::from(l.iter().map(|v| fixed(&v)).collect::<Vec<_>>()).fix())
        }
        Value::Map(m) => {
            let mut map = OwnedMap::default();
            for (k, v) in m.iter() {
                map.set(fixed(&k), fixed(&v));
            }
            Value::Map(Map::Fixed(map.into()))
        }
        Value::Object(o) => Value::Object(
            crate::value::Object {
                name: o.name.clone(),
                fields: o.fields.iter().map(|(n, v)| (n.clone(), fixed(v))).collect(),
            }
            .into(),
        ),
        Value::Timestamp(t) => Value::Timestamp(*t),
        Value::Duration(d) => Value::Duration(*d),
        Value::Type(t) => Value::Type(t.clone()),
        Value::Optional(o) => Value::Optional(o.as_ref().map(|v| fixed(v).into())),
        Value::Opaque(o) => Value::Opaque(o.clone()),
    }
}

/// The constants as a set, if all are what maps can be asked with.
// k8s: github.com/google/cel-go interpreter/decorators.go maybeOptimizeSetMembership
fn key_set(list: &crate::value::List<'static>) -> Option<HashSet<Key>> {
    if list.len() > MAX_SET {
        return None;
    }
    // A double that is no integer is no key, and equal to none of the others.
    list.iter().map(|v| Key::of(&v)).collect()
}

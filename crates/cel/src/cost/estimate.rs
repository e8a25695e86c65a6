//! The least and the most that an expression can cost, from what is known of the sizes of what it reads.
//! It must never guess: what is unknown costs up to the largest number.
// k8s: github.com/google/cel-go checker/cost.go

use super::argument::Node;
use super::range::{LIST_BASE, MAP_BASE, Range, STRUCT_BASE};
use super::rules;
use crate::ast::{self, Element, Expr, Fold, Id, Kind, Literal};
use crate::check::Checked;
use crate::types::Type;
use std::collections::HashMap;

/// What somebody knows of sizes.
pub trait Sizes {
    /// The size of what is at `path`: a variable, then field names, `@items`, `@keys`, `@values`, `@indices`.
    /// `None` for the path when it is nothing that was declared.
    fn size(&self, path: Option<&[String]>, ty: &Type) -> Option<Range>;
}

/// Nobody knows anything.
pub struct NoSizes;

impl Sizes for NoSizes {
    fn size(&self, _: Option<&[String]>, _: &Type) -> Option<Range> {
        None
    }
}

/// The least and the most that the expression can cost.
#[must_use]
pub fn estimate(checked: &Checked, sizes: &dyn Sizes) -> Range {
    let mut coster = Coster {
        checked,
        sizes,
        paths: HashMap::new(),
        locals: HashMap::new(),
        computed: HashMap::new(),
        entries: HashMap::new(),
    };
    coster.cost(checked.expr())
}

/// Sizes of the keys or indices, and of the values or items, of a container.
#[derive(Clone, Copy)]
pub(super) struct Entries {
    list: bool,
    key: Range,
    pub(super) value: Range,
}

impl Entries {
    pub(super) fn union(self, other: Entries) -> Entries {
        Entries { list: self.list, key: self.key.union(other.key), value: self.value.union(other.value) }
    }
}

#[derive(Clone)]
struct Local {
    path: Vec<String>,
    size: Option<Range>,
    entries: Option<Entries>,
}

pub(super) struct Coster<'c> {
    pub(super) checked: &'c Checked,
    sizes: &'c dyn Sizes,
    paths: HashMap<Id, Vec<String>>,
    locals: HashMap<String, Vec<Local>>,
    computed: HashMap<Id, Range>,
    entries: HashMap<Id, Entries>,
}

/// What part of a container a variable runs over.
enum Part {
    Key,
    Value,
    Single,
}

impl<'c> Coster<'c> {
    pub(super) fn cost(&mut self, expr: &'c Expr) -> Range {
        match &expr.kind {
            Kind::Unspecified | Kind::Literal(_) => Range::ZERO,
            Kind::Ident(name) => {
                let path = match self.local(name) {
                    Some(local) => local.path.clone(),
                    None => vec![name.clone()],
                };
                self.paths.insert(expr.id, path);
                Range::fixed(1)
            }
            Kind::Select { operand, field, test_only } => self.select(expr, operand, field, *test_only),
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List(elements) => self.list(expr.id, elements),
            Kind::Map(entries) => self.map(expr.id, entries),
            Kind::Struct { fields, .. } => {
                fields.iter().fold(Range::fixed(STRUCT_BASE), |sum, f| sum.plus(self.cost(&f.value)))
            }
            Kind::Fold(fold) if ast::is_bind(fold) => self.bind(expr.id, fold),
            Kind::Fold(fold) => self.fold(expr.id, fold),
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name).and_then(|stack| stack.last())
    }

    fn push(&mut self, name: &str, local: Local) {
        self.locals.entry(name.to_owned()).or_default().push(local);
    }

    fn pop(&mut self, name: &str) {
        if let Some(stack) = self.locals.get_mut(name) {
            stack.pop();
        }
    }

    pub(super) fn path(&self, expr: &Expr) -> Option<Vec<String>> {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return Some(local.path.clone()).filter(|p| !p.is_empty());
        }
        self.paths.get(&expr.id).cloned()
    }

    pub(super) fn set_path(&mut self, expr: &Expr, from: &Expr, step: &str) {
        let mut path = self.path(from).unwrap_or_default();
        path.push(step.to_owned());
        self.paths.insert(expr.id, path);
    }

    fn select(&mut self, expr: &'c Expr, operand: &'c Expr, field: &str, test_only: bool) -> Range {
        if test_only {
            let test = u64::from(self.checked.env.base.options.presence_test_costs);
            return Range::fixed(test).plus(self.cost(operand));
        }
        let mut sum = self.cost(operand);
        if matches!(self.checked.type_of(operand), Type::Map(_) | Type::Object(_) | Type::Param(_)) {
            sum = sum.plus(Range::fixed(1));
        }
        self.set_path(expr, operand, field);
        sum
    }

    fn list(&mut self, id: Id, elements: &'c [Element]) -> Range {
        let mut sum = Range::fixed(LIST_BASE);
        let mut value = if elements.is_empty() { Range::ZERO } else { Range::new(u64::MAX, 0) };
        for element in elements {
            sum = sum.plus(self.cost(&element.value));
            value = value.union(self.size_or_unknown(&element.value));
        }
        self.entries.insert(id, Entries { list: true, key: Range::fixed(1), value });
        sum
    }

    fn map(&mut self, id: Id, entries: &'c [ast::Entry]) -> Range {
        let mut sum = Range::fixed(MAP_BASE);
        let start = if entries.is_empty() { Range::ZERO } else { Range::new(u64::MAX, 0) };
        let (mut key, mut value) = (start, start);
        for entry in entries {
            sum = sum.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
            key = key.union(self.size_or_unknown(&entry.key));
            value = value.union(self.size_or_unknown(&entry.value));
        }
        self.entries.insert(id, Entries { list: false, key, value });
        sum
    }

    fn push_part(&mut self, name: &str, range: &'c Expr, part: &Part) {
        let entries = self.entries_of(range);
        let list = entries.map_or(matches!(self.checked.type_of(range), Type::List(_)), |e| e.list);
        let (size, step) = match (part, list) {
            (Part::Key, false) | (Part::Single, false) => (entries.map(|e| e.key), "@keys"),
            (Part::Key, true) => (entries.map(|e| e.key), "@indices"),
            (Part::Value, false) => (entries.map(|e| e.value), "@values"),
            (Part::Value | Part::Single, true) => (entries.map(|e| e.value), "@items"),
        };
        let mut path = self.path(range).unwrap_or_default();
        path.push(step.to_owned());
        self.push(name, Local { path, size, entries: None });
    }

    fn fold(&mut self, id: Id, fold: &'c Fold) -> Range {
        let mut sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_bound(&fold.accu, &fold.init);
        if let Some(var2) = &fold.var2 {
            self.push_part(&fold.var, &fold.range, &Part::Key);
            self.push_part(var2, &fold.range, &Part::Value);
        } else {
            self.push_part(&fold.var, &fold.range, &Part::Single);
        }
        let condition = self.cost(&fold.condition);
        let step = self.cost(&fold.step);
        self.pop(&fold.var);
        if let Some(var2) = &fold.var2 {
            self.pop(var2);
        }
        sum = sum.plus(self.cost(&fold.result));
        self.pop(&fold.accu);
        let count = self.size_or_unknown(&fold.range);
        sum = sum.plus(count.times(step.plus(condition)));
        match &fold.init.kind {
            Kind::Literal(_) => {
                let size = self.size(&fold.init);
                self.set_size(id, size);
            }
            Kind::List(_) | Kind::Map(_) => {
                self.set_size(id, Some(count));
                if let Some(entries) = self.entries_of(&fold.step) {
                    self.entries.insert(id, entries);
                }
            }
            _ => {}
        }
        sum
    }

    fn push_bound(&mut self, name: &str, init: &'c Expr) {
        let path = self.path(init).unwrap_or_default();
        let entries = self.entries_of(init);
        let size = self.size(init);
        self.push(name, Local { path, size, entries });
    }

    fn bind(&mut self, id: Id, fold: &'c Fold) -> Range {
        let sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_bound(&fold.accu, &fold.init);
        let sum = sum.plus(self.cost(&fold.result));
        self.pop(&fold.accu);
        self.copy_sizes(id, &fold.result);
        sum
    }

    pub(super) fn copy_sizes(&mut self, id: Id, from: &Expr) {
        let size = self.size(from);
        self.set_size(id, size);
        if let Some(entries) = self.entries_of(from) {
            self.entries.insert(id, entries);
        }
    }

    pub(super) fn set_size(&mut self, id: Id, size: Option<Range>) {
        if let Some(size) = size {
            self.computed.insert(id, size);
        }
    }

    pub(super) fn set_entries(&mut self, id: Id, entries: Option<Entries>) {
        if let Some(entries) = entries {
            self.entries.insert(id, entries);
        }
    }

    pub(super) fn entries_of(&self, expr: &Expr) -> Option<Entries> {
        if let Some(entries) = self.entries.get(&expr.id) {
            return Some(*entries);
        }
        self.local(expr.as_ident()?)?.entries
    }

    /// What is known of a node's size.
    pub(super) fn size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(size) = self.computed.get(&expr.id) {
            return Some(*size);
        }
        if let Some(size) = written_size(expr) {
            return Some(Range::fixed(size));
        }
        let ty = self.checked.type_of(expr);
        let path = self.path(expr);
        if let Some(size) = self.sizes.size(path.as_deref(), ty) {
            self.computed.insert(expr.id, size);
            return Some(size);
        }
        if ty.is_scalar() {
            return Some(Range::fixed(1));
        }
        self.local(expr.as_ident()?)?.size
    }

    pub(super) fn size_or_unknown(&mut self, expr: &Expr) -> Range {
        self.size(expr).unwrap_or(Range::UNKNOWN)
    }

    /// What somebody who asks for a size of what is not in the expression is told.
    pub(super) fn asked(&self, path: Option<&[String]>, ty: &Type) -> Range {
        self.sizes.size(path, ty).unwrap_or(Range::UNKNOWN)
    }

    fn call(&mut self, expr: &'c Expr, function: &str, target: Option<&'c Expr>, args: &'c [Expr]) -> Range {
        if function == "dyn" && args.len() == 1 {
            let cost = self.cost(&args[0]);
            self.copy_sizes(expr.id, &args[0]);
            return cost.plus(Range::fixed(1));
        }
        let mut costs = Vec::with_capacity(args.len());
        let mut nodes = Vec::with_capacity(args.len());
        for arg in args {
            costs.push(self.cost(arg));
            nodes.push(self.node(arg));
        }
        let overloads = self.checked.overloads(expr.id);
        if overloads.is_empty() {
            return Range::ZERO;
        }
        let mut sum = Range::ZERO;
        let target = target.map(|t| {
            sum = self.cost(t);
            self.node(t)
        });
        let mut cost = Range::new(u64::MAX, 0);
        let mut result: Option<Range> = None;
        for overload in overloads {
            let rule = rules::rule(function, Some(overload));
            let (call, size) = self.call_cost(expr, function, rule, target.as_ref(), &nodes, &costs);
            cost = cost.union(call);
            result = match (result, size) {
                (Some(a), Some(b)) => Some(a.union(b)),
                (a, b) => a.or(b),
            };
            if let (Some(first), step @ ("index_list" | "index_map")) = (args.first(), *overload) {
                result = self.entries_of(first).map(|e| e.value);
                self.set_path(expr, first, if step == "index_list" { "@items" } else { "@values" });
            }
            if result.is_none() {
                result = self.size(expr);
            }
        }
        self.set_size(expr.id, result);
        sum.plus(cost)
    }

    fn node(&mut self, expr: &'c Expr) -> Node<'c> {
        let path = self.path(expr).filter(|p| p.first().is_none_or(|f| f != ast::ACCUMULATOR));
        Node { expr, path, size: self.size(expr) }
    }
}

/// The size of what is written out.
fn written_size(expr: &Expr) -> Option<u64> {
    Some(match &expr.kind {
        Kind::Literal(Literal::Str(s)) => s.chars().count() as u64,
        Kind::Literal(Literal::Bytes(b)) => b.len() as u64,
        Kind::Literal(_) => 1,
        Kind::List(elements) => elements.len() as u64,
        Kind::Map(entries) => entries.len() as u64,
        _ => return None,
    })
}

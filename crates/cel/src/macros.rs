//! Macros: calls that the parser turns into other trees. Those of the language are here, those of libraries beside
//! the library. They must never copy an argument, so that a tree stays as large as its source.
// k8s: github.com/google/cel-go parser/macro.go

use crate::ast::{ACCUMULATOR, Element, Expr, Fold, Id, Kind, Literal};

/// Makes nodes and remembers where they are.
#[derive(Default)]
pub struct Builder {
    pub(crate) places: Vec<usize>,
}

/// A tree of more nodes than this is refused; some macros use what they are given twice.
const MAX_NODES: usize = 500_000;

/// What is wrong with a call of a macro, and where.
pub type MacroError = (usize, String);
type Expand = fn(&mut Builder, usize, Option<Expr>, Vec<Expr>) -> Result<Expr, MacroError>;

/// A macro: which calls it takes and what becomes of them.
#[derive(Clone, Copy)]
pub struct Macro {
    pub function: &'static str,
    pub receiver: bool,
    pub args: usize,
    /// How much deeper than its arguments what it makes is.
    pub depth: u32,
    pub expand: Expand,
    /// A receiver that the target must be, as the namespace of a function.
    pub namespace: Option<&'static str>,
}

impl Macro {
    pub(crate) fn matches(&self, function: &str, target: Option<&Expr>, args: usize) -> bool {
        self.function == function
            && self.receiver == target.is_some()
            && self.args == args
            && self.namespace.is_none_or(|n| target.is_some_and(|t| t.as_ident() == Some(n)))
    }
}

/// A macro on a list or map.
#[must_use]
pub const fn receiver(function: &'static str, args: usize, depth: u32, expand: Expand) -> Macro {
    Macro { function, receiver: true, args, depth, expand, namespace: None }
}

impl Builder {
    pub fn id(&mut self, at: usize) -> Id {
        // Ids begin at 1: 0 is nobody's.
        if self.places.is_empty() {
            self.places.push(0);
        }
        self.places.push(at);
        Id::try_from(self.places.len() - 1).unwrap_or(Id::MAX)
    }

    pub fn expr(&mut self, at: usize, kind: Kind) -> Expr {
        Expr { id: self.id(at), kind }
    }

    pub fn ident(&mut self, at: usize, name: &str) -> Expr {
        self.expr(at, Kind::Ident(name.to_owned()))
    }

    pub fn accu(&mut self, at: usize) -> Expr {
        self.ident(at, ACCUMULATOR)
    }

    pub fn literal(&mut self, at: usize, literal: Literal) -> Expr {
        self.expr(at, Kind::Literal(literal))
    }

    pub fn call(&mut self, at: usize, function: &str, args: Vec<Expr>) -> Expr {
        self.expr(at, Kind::Call { function: function.to_owned(), target: None, args })
    }

    pub fn member(&mut self, at: usize, function: &str, target: Expr, args: Vec<Expr>) -> Expr {
        self.expr(at, Kind::Call { function: function.to_owned(), target: Some(Box::new(target)), args })
    }

    pub fn list(&mut self, at: usize, values: Vec<Expr>) -> Expr {
        let elements = values.into_iter().map(|value| Element { value, optional: false }).collect();
        self.expr(at, Kind::List(elements))
    }

    /// Where a node is.
    #[must_use]
    pub fn place(&self, expr: &Expr) -> usize {
        self.places.get(expr.id as usize).copied().unwrap_or(0)
    }

    /// A fold with the accumulator of macros.
    pub fn fold(&mut self, at: usize, range: Expr, vars: (String, Option<String>), parts: [Expr; 4]) -> Expr {
        let [init, condition, step, result] = parts;
        let (var, var2) = vars;
        let accu = ACCUMULATOR.to_owned();
        let fold = Fold { range, var, var2, accu, init, condition, step, result };
        self.expr(at, Kind::Fold(Box::new(fold)))
    }

    /// A name for a value within an expression, evaluated when it is first read.
    pub fn bound(&mut self, at: usize, name: &str, init: Expr, result: Expr) -> Expr {
        let range = self.list(at, Vec::new());
        let condition = self.literal(at, Literal::Bool(false));
        let step = self.ident(at, name);
        let (var, accu) = ("#unused".to_owned(), name.to_owned());
        let fold = Fold { range, var, var2: None, accu, init, condition, step, result };
        self.expr(at, Kind::Fold(Box::new(fold)))
    }

    /// The same tree again, with ids of its own.
    ///
    /// # Errors
    /// When the expression gets too large by it.
    pub fn copy(&mut self, expr: &Expr) -> Result<Expr, MacroError> {
        let mut nodes = 0usize;
        expr.walk(&mut |_| nodes += 1);
        if self.places.len().saturating_add(nodes) > MAX_NODES {
            return Err((self.place(expr), "expression is too large".to_owned()));
        }
        let mut copy = expr.clone();
        self.renumber(&mut copy);
        Ok(copy)
    }

    fn again(&mut self, id: &mut Id) {
        let at = self.places.get(*id as usize).copied().unwrap_or(0);
        *id = self.id(at);
    }

    fn renumber(&mut self, expr: &mut Expr) {
        self.again(&mut expr.id);
        match &mut expr.kind {
            Kind::Unspecified | Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => self.renumber(operand),
            Kind::Call { target, args, .. } => {
                target.as_deref_mut().into_iter().chain(args).for_each(|e| self.renumber(e));
            }
            Kind::List(elements) => elements.iter_mut().for_each(|e| self.renumber(&mut e.value)),
            Kind::Map(entries) => entries.iter_mut().for_each(|e| {
                self.again(&mut e.id);
                self.renumber(&mut e.key);
                self.renumber(&mut e.value);
            }),
            Kind::Struct { fields, .. } => fields.iter_mut().for_each(|f| {
                self.again(&mut f.id);
                self.renumber(&mut f.value);
            }),
            Kind::Fold(f) => [&mut f.range, &mut f.init, &mut f.condition, &mut f.step, &mut f.result]
                .into_iter()
                .for_each(|e| self.renumber(e)),
        }
    }

    /// `filter ? step : accumulator`, or the step alone.
    pub fn filtered(&mut self, at: usize, filter: Option<Expr>, step: Expr) -> Expr {
        match filter {
            None => step,
            Some(filter) => {
                let accu = self.accu(at);
                self.call(at, "_?_:_", vec![filter, step, accu])
            }
        }
    }

    /// The four parts of a fold that makes a list of `value`.
    pub fn collecting(&mut self, at: usize, filter: Option<Expr>, value: Expr) -> [Expr; 4] {
        let init = self.list(at, Vec::new());
        let condition = self.literal(at, Literal::Bool(true));
        let accu = self.accu(at);
        let one = self.list(at, vec![value]);
        let step = self.call(at, "_+_", vec![accu, one]);
        let step = self.filtered(at, filter, step);
        [init, condition, step, self.accu(at)]
    }

    /// The four parts of a fold that asks whether all, some or exactly one make `predicate` true.
    pub fn quantified(&mut self, at: usize, kind: Quantifier, predicate: Expr) -> [Expr; 4] {
        match kind {
            Quantifier::All => {
                let init = self.literal(at, Literal::Bool(true));
                let accu = self.accu(at);
                let condition = self.call(at, "@not_strictly_false", vec![accu]);
                let accu = self.accu(at);
                let step = self.call(at, "_&&_", vec![accu, predicate]);
                [init, condition, step, self.accu(at)]
            }
            Quantifier::Exists => {
                let init = self.literal(at, Literal::Bool(false));
                let accu = self.accu(at);
                let not = self.call(at, "!_", vec![accu]);
                let condition = self.call(at, "@not_strictly_false", vec![not]);
                let accu = self.accu(at);
                let step = self.call(at, "_||_", vec![accu, predicate]);
                [init, condition, step, self.accu(at)]
            }
            Quantifier::ExistsOne => {
                let init = self.literal(at, Literal::Int(0));
                let condition = self.literal(at, Literal::Bool(true));
                let (accu, one) = (self.accu(at), self.literal(at, Literal::Int(1)));
                let step = self.call(at, "_+_", vec![accu, one]);
                let step = self.filtered(at, Some(predicate), step);
                let (accu, one) = (self.accu(at), self.literal(at, Literal::Int(1)));
                [init, condition, step, self.call(at, "_==_", vec![accu, one])]
            }
        }
    }

    /// The name that an argument is.
    ///
    /// # Errors
    /// `otherwise` when it is none, and that it is the accumulator's.
    pub fn variable(&self, arg: &Expr, otherwise: &str) -> Result<String, MacroError> {
        let at = self.place(arg);
        let name = arg.as_ident().ok_or_else(|| (at, otherwise.to_owned()))?;
        if name == ACCUMULATOR || name == "__result__" {
            return Err((at, "iteration variable overwrites accumulator variable".to_owned()));
        }
        Ok(name.to_owned())
    }
}

/// What a quantifying macro asks.
#[derive(Clone, Copy)]
pub enum Quantifier {
    All,
    Exists,
    ExistsOne,
}

/// Those of the language.
pub const STANDARD: &[Macro] = &[
    Macro { function: "has", receiver: false, args: 1, depth: 1, expand: has, namespace: None },
    receiver("all", 2, 3, |b, at, target, args| quantifier(b, at, Quantifier::All, target, args)),
    receiver("exists", 2, 3, |b, at, target, args| quantifier(b, at, Quantifier::Exists, target, args)),
    receiver("exists_one", 2, 3, |b, at, target, args| {
        quantifier(b, at, Quantifier::ExistsOne, target, args)
    }),
    receiver("map", 2, 4, map),
    receiver("map", 3, 4, map),
    receiver("filter", 2, 4, filter),
];

/// The arguments as an array; macros are found by their number.
pub(crate) fn array<const N: usize>(args: Vec<Expr>) -> [Expr; N] {
    args.try_into().expect("macros are found by the number of their arguments")
}

pub(crate) fn on(target: Option<Expr>) -> Expr {
    target.expect("a receiver's macro is found with a receiver only")
}

fn has(b: &mut Builder, at: usize, _: Option<Expr>, args: Vec<Expr>) -> Result<Expr, MacroError> {
    let [arg] = array(args);
    let place = b.place(&arg);
    match arg.kind {
        Kind::Select { operand, field, test_only: false } => {
            Ok(b.expr(at, Kind::Select { operand, field, test_only: true }))
        }
        _ => Err((place, "invalid argument to has() macro".to_owned())),
    }
}

fn quantifier(
    b: &mut Builder,
    at: usize,
    kind: Quantifier,
    target: Option<Expr>,
    args: Vec<Expr>,
) -> Result<Expr, MacroError> {
    let [var, predicate] = array(args);
    let var = b.variable(&var, "argument must be a simple name")?;
    let parts = b.quantified(at, kind, predicate);
    Ok(b.fold(at, on(target), (var, None), parts))
}

pub(crate) fn map(
    b: &mut Builder,
    at: usize,
    target: Option<Expr>,
    mut args: Vec<Expr>,
) -> Result<Expr, MacroError> {
    let filter = if args.len() == 3 { Some(args.remove(1)) } else { None };
    let [var, value] = array(args);
    let var = b.variable(&var, "argument is not an identifier")?;
    let parts = b.collecting(at, filter, value);
    Ok(b.fold(at, on(target), (var, None), parts))
}

fn filter(b: &mut Builder, at: usize, target: Option<Expr>, args: Vec<Expr>) -> Result<Expr, MacroError> {
    let [var, predicate] = array(args);
    let name = b.variable(&var, "argument is not an identifier")?;
    let parts = b.collecting(at, Some(predicate), var);
    Ok(b.fold(at, on(target), (name, None), parts))
}

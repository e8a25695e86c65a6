//! The parsed expression: what the parser makes, the checker annotates, the planner reads.
//! It must never be deeper than the parser's limit lets it be, for all of them recurse.

/// Names a node; places, types and references are kept by it.
pub type Id = u32;

/// A node and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub id: Id,
    pub kind: Kind,
}

/// What can be written down as it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(String),
    Bytes(Vec<u8>),
}

/// The kinds of nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Stands where an error was reported.
    Unspecified,
    Literal(Literal),
    Ident(String),
    Select {
        operand: Box<Expr>,
        field: String,
        test_only: bool,
    },
    Call {
        function: String,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    List(Vec<Element>),
    Map(Vec<Entry>),
    Struct {
        name: String,
        fields: Vec<Field>,
    },
    Fold(Box<Fold>),
}

/// A list's element; an optional one is left out when it has no value.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    pub value: Expr,
    pub optional: bool,
}

/// A map's entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub id: Id,
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

/// A message's field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub id: Id,
    pub name: String,
    pub value: Expr,
    pub optional: bool,
}

/// A comprehension: what all macros over lists and maps become.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    pub range: Expr,
    pub var: String,
    pub var2: Option<String>,
    pub accu: String,
    pub init: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

/// The name of the accumulator that macros use; no source can spell it.
pub const ACCUMULATOR: &str = "@result";

impl Expr {
    #[must_use]
    pub fn as_ident(&self) -> Option<&str> {
        if let Kind::Ident(name) = &self.kind { Some(name) } else { None }
    }

    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Kind::Literal(Literal::Str(s)) = &self.kind { Some(s) } else { None }
    }

    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Kind::Literal(Literal::Int(i)) = &self.kind { Some(*i) } else { None }
    }

    /// The dotted name that identifier and selects spell, if they are nothing else.
    #[must_use]
    pub fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.clone()),
            Kind::Select { operand, field, test_only: false } => {
                Some(format!("{}.{field}", operand.qualified_name()?))
            }
            _ => None,
        }
    }

    /// Calls `f` for each node below this one, once, parents first.
    pub fn walk<'e>(&'e self, f: &mut dyn FnMut(&'e Expr)) {
        f(self);
        match &self.kind {
            Kind::Unspecified | Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => operand.walk(f),
            Kind::Call { target, args, .. } => {
                target.iter().for_each(|t| t.walk(f));
                args.iter().for_each(|a| a.walk(f));
            }
            Kind::List(elements) => elements.iter().for_each(|e| e.value.walk(f)),
            Kind::Map(entries) => entries.iter().for_each(|e| {
                e.key.walk(f);
                e.value.walk(f);
            }),
            Kind::Struct { fields, .. } => fields.iter().for_each(|e| e.value.walk(f)),
            Kind::Fold(fold) => {
                for e in [&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result] {
                    e.walk(f);
                }
            }
        }
    }
}

/// `cel.bind` as macros write it: a fold over nothing that never steps.
// k8s: github.com/google/cel-go checker/cost.go isBind
#[must_use]
pub fn is_bind(fold: &Fold) -> bool {
    matches!(&fold.range.kind, Kind::List(e) if e.is_empty())
        && fold.condition.kind == Kind::Literal(Literal::Bool(false))
        && fold.accu != "__result__"
}

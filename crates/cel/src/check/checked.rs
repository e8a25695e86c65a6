//! A tree whose nodes have types. It must never be made of a tree with errors.

use crate::ast::{Expr, Id};
use crate::env::Env;
use crate::parser::Ast;
use crate::types::Type;
use std::collections::HashMap;
use std::sync::Arc;

/// What a name or call refers to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reference {
    /// A variable of the environment, whatever local ones are called.
    Variable(Arc<str>),
    Type(Type),
    /// The overloads that a call may be.
    Overloads(Vec<&'static str>),
}

/// A tree whose nodes have types.
#[derive(Clone)]
pub struct Checked {
    pub(crate) ast: Ast,
    pub(crate) env: Env,
    pub(super) types: Vec<Option<Type>>,
    pub(super) references: HashMap<Id, Reference>,
}

impl Checked {
    /// The type of the whole expression.
    #[must_use]
    pub fn ty(&self) -> &Type {
        self.type_of(&self.ast.expr)
    }

    #[must_use]
    pub fn type_of(&self, expr: &Expr) -> &Type {
        self.types.get(expr.id as usize).and_then(Option::as_ref).unwrap_or(&Type::Dyn)
    }

    #[must_use]
    pub fn expr(&self) -> &Expr {
        &self.ast.expr
    }

    #[must_use]
    pub fn reference(&self, id: Id) -> Option<&Reference> {
        self.references.get(&id)
    }

    /// The overloads that a call may be.
    #[must_use]
    pub fn overloads(&self, id: Id) -> &[&'static str] {
        match self.references.get(&id) {
            Some(Reference::Overloads(ids)) => ids,
            _ => &[],
        }
    }

    /// The variables of the environment that the expression reads.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        let mut names: Vec<_> = self
            .references
            .values()
            .filter_map(|r| if let Reference::Variable(name) = r { Some(&**name) } else { None })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

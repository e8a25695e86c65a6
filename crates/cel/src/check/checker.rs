//! What the checker remembers: types, references, scopes. It must never let a type grow without bound.

use super::checked::Reference;
use crate::ast::{Expr, Id};
use crate::env::Env;
use crate::parser::Ast;
use crate::source::Issues;
use crate::types::Type;
use crate::unify::Mapping;
use std::collections::HashMap;

/// Types above this many parts are refused; they can double with each step of an expression.
const MAX_TYPE_PARTS: usize = 1000;

/// What the checker knows on its way.
pub(super) struct Checker<'c> {
    pub(super) ast: &'c Ast,
    pub(super) env: &'c Env,
    pub(super) issues: Issues,
    pub(super) types: Vec<Option<Type>>,
    pub(super) references: HashMap<Id, Reference>,
    pub(super) mapping: Mapping,
    pub(super) fresh: usize,
    /// Local variables, the innermost last.
    pub(super) scopes: Vec<(String, Type)>,
}

impl Checker<'_> {
    pub(super) fn report(&mut self, id: Id, message: String) {
        self.issues.report(self.ast.location(id), message);
    }

    pub(super) fn set(&mut self, id: Id, ty: Type) {
        let ty = if parts(&ty, MAX_TYPE_PARTS) > MAX_TYPE_PARTS {
            self.report(id, "type of expression is too large".to_owned());
            Type::Error
        } else {
            ty
        };
        if let Some(slot) = self.types.get_mut(id as usize) {
            *slot = Some(ty);
        }
    }

    pub(super) fn get(&self, expr: &Expr) -> Type {
        self.types.get(expr.id as usize).cloned().flatten().unwrap_or(Type::Error)
    }

    /// The type with what is known of its parameters.
    pub(super) fn known(&self, expr: &Expr) -> Type {
        self.mapping.substitute(&self.get(expr), false)
    }

    pub(super) fn fresh(&mut self) -> Type {
        let name = format!("_var{}", self.fresh);
        self.fresh += 1;
        Type::Param(name.into())
    }

    pub(super) fn mismatch(&mut self, id: Id, expected: &Type, found: &Type) {
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    pub(super) fn undeclared(&mut self, id: Id, name: &str) {
        let container = self.env.container().to_owned();
        self.report(id, format!("undeclared reference to '{name}' (in container '{container}')"));
    }
}

fn parts(ty: &Type, most: usize) -> usize {
    let mut count = 1;
    for param in ty.params() {
        if count > most {
            break;
        }
        count += parts(param, most - count.min(most));
    }
    count
}

//! The checker: what each node of a tree is, by declarations, in upstream's words when it is nothing.
//! It must never let through what an evaluation could not give a meaning.
// k8s: github.com/google/cel-go checker/checker.go

mod checked;
mod checker;
mod literals;
mod nodes;

pub use checked::{Checked, Reference};

use crate::ast::{Expr, Kind};
use crate::env::Env;
use crate::parser::{Ast, Limits, parse};
use crate::source::Issues;
use crate::unify::Mapping;
use checker::Checker;
use std::collections::HashMap;

/// Checks a tree against an environment.
///
/// # Errors
/// What is wrong with it.
pub fn check(mut ast: Ast, env: &Env) -> Result<Checked, Issues> {
    let mut expr = std::mem::replace(&mut ast.expr, Expr { id: 0, kind: Kind::Unspecified });
    let mut checker = Checker {
        ast: &ast,
        env,
        issues: Issues::new(&ast.source),
        types: vec![None; ast.ids()],
        references: HashMap::new(),
        mapping: Mapping::default(),
        fresh: 0,
        scopes: Vec::new(),
    };
    checker.check(&mut expr);
    let Checker { issues, types, references, mapping, .. } = checker;
    let types = types.into_iter().map(|t| t.map(|t| mapping.substitute(&t, true))).collect();
    issues.or(())?;
    ast.expr = expr;
    let checked = Checked { ast, env: env.clone(), types, references };
    if env.base.options.validate_literals {
        literals::validate(&checked)?;
    }
    Ok(checked)
}

/// Parses and checks.
///
/// # Errors
/// What is wrong with the text.
pub fn compile(text: &str, env: &Env) -> Result<Checked, Issues> {
    check(parse(text, env.macros(), Limits::default())?, env)
}

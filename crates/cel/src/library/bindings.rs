//! `cel.bind`: a name for a value. Not part of what Kubernetes lets expressions use.
//! It must never evaluate what is not read.
// k8s: github.com/google/cel-go ext/bindings.go

use crate::ast::Expr;
use crate::declare::Library;
use crate::macros::{Builder, Macro, MacroError, array};

pub const LIBRARY: Library =
    Library { name: "cel.lib.ext.cel.bindings", functions: &[], macros: MACROS, types: &[] };

const MACROS: &[Macro] =
    &[Macro { function: "bind", receiver: true, args: 3, depth: 1, expand: bind, namespace: Some("cel") }];

fn bind(b: &mut Builder, at: usize, _: Option<Expr>, args: Vec<Expr>) -> Result<Expr, MacroError> {
    let [var, init, result] = array(args);
    let Some(name) = var.as_ident() else {
        return Err((b.place(&var), "cel.bind() variable names must be simple identifiers".to_owned()));
    };
    Ok(b.bound(at, name, init, result))
}

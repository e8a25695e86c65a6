//! What can be found wrong before anything is evaluated: literals of durations, timestamps, regular expressions and
//! formats. It must never refuse what depends on a variable.
// k8s: github.com/google/cel-go cel/validator.go, ext/formatting.go stringFormatValidator

use super::checked::Checked;
use crate::ast::{Element, Expr, Id, Kind, Literal};
use crate::error::Error;
use crate::library::string_format::{Clause, Piece, pieces};
use crate::source::Issues;
use crate::types::Type;
use crate::value::{Value, convert};

/// Looks at all literals.
pub(super) fn validate(checked: &Checked) -> Result<(), Issues> {
    let mut issues = Issues::new(&checked.ast.source);
    let mut found = Vec::new();
    checked.expr().walk(&mut |expr| call(checked, expr, &mut found));
    aggregates(checked, checked.expr(), false, &mut found);
    for (id, message) in found {
        issues.report(checked.ast.location(id), message);
    }
    issues.or(())
}

type Found = Vec<(Id, String)>;

fn call(checked: &Checked, expr: &Expr, found: &mut Found) {
    let Kind::Call { function, target, args } = &expr.kind else { return };
    let Some(first) = args.first() else { return };
    let literal = matches!(first.kind, Kind::Literal(_));
    match function.as_str() {
        "duration" | "timestamp" if literal => {
            let ty = if function == "duration" { Type::Duration } else { Type::Timestamp };
            if convert(&value(first), &ty).is_err() {
                found.push((first.id, format!("invalid {function} argument")));
            }
        }
        "matches" => {
            // The first argument, which is the text when there is no receiver, as upstream has it.
            if let Some(pattern) = first.as_str()
                && crate::re2::compile(pattern).is_err()
            {
                found.push((first.id, "invalid matches argument".to_owned()));
            }
        }
        "format" => {
            if let (Some(text), Kind::List(list)) = (target.as_ref().and_then(|t| t.as_str()), &first.kind)
                && let Err((id, message)) = format(checked, text, list)
            {
                found.push((id.unwrap_or(expr.id), message));
            }
        }
        _ => {}
    }
}

fn value(expr: &Expr) -> Value<'_> {
    match &expr.kind {
        Kind::Literal(Literal::Str(s)) => Value::str(s.as_str()),
        Kind::Literal(Literal::Int(i)) => Value::Int(*i),
        _ => Value::Null,
    }
}

/// Checks a format against the types of the arguments written after it.
fn format(checked: &Checked, text: &str, args: &[Element]) -> Result<(), (Option<Id>, String)> {
    let mut at = 0;
    let next = std::cell::Cell::new(0);
    let mut bad: Option<(Id, String)> = None;
    let result = pieces(
        text,
        &mut |piece| {
            let Piece::Clause(clause) = piece else { return Ok(()) };
            let Some(arg) = args.get(at) else { return Err(Error::new("")) };
            at += 1;
            next.set(at);
            refused(checked, clause, &arg.value).map_or(Ok(()), |(id, ty)| {
                bad = Some((id, format!("error during formatting: {}", clause.refuses(&ty))));
                Err(Error::new(""))
            })
        },
        &mut || {
            let at = next.get();
            if at < args.len() { Ok(()) } else { Err(Error::new(format!("index {at} out of range"))) }
        },
    );
    if let Some((id, message)) = bad {
        return Err((Some(id), message));
    }
    result.map_err(|e| (None, e.to_string()))?;
    let (wanted, given) = (next.get(), args.len());
    if given > wanted {
        let message =
            format!("too many arguments supplied to string.format (expected {wanted}, got {given})");
        return Err((None, message));
    }
    Ok(())
}

/// The node whose type a clause does not take.
fn refused(checked: &Checked, clause: Clause, arg: &Expr) -> Option<(Id, String)> {
    let ty = checked.type_of(arg);
    if !clause.takes(ty) {
        return Some((arg.id, ty.name().to_owned()));
    }
    if clause != Clause::String {
        return None;
    }
    match &arg.kind {
        Kind::List(elements) => elements.iter().find_map(|e| refused(checked, clause, &e.value)),
        Kind::Map(entries) => entries
            .iter()
            .find_map(|e| refused(checked, clause, &e.key).or_else(|| refused(checked, clause, &e.value))),
        _ => None,
    }
}

/// Elements that are written out must be of one type, but for what goes into a format.
fn aggregates(checked: &Checked, expr: &Expr, exempt: bool, found: &mut Found) {
    let exempt = exempt || matches!(&expr.kind, Kind::Call { function, .. } if function == "format");
    if !exempt {
        match &expr.kind {
            Kind::List(elements) => {
                same(checked, elements.iter().map(|e| (&e.value, e.optional)), true, found);
            }
            Kind::Map(entries) => {
                same(checked, entries.iter().map(|e| (&e.key, false)), false, found);
                same(checked, entries.iter().map(|e| (&e.value, e.optional)), false, found);
            }
            _ => {}
        }
    }
    let mut below = |e: &Expr| aggregates(checked, e, exempt, found);
    match &expr.kind {
        Kind::Unspecified | Kind::Literal(_) | Kind::Ident(_) => {}
        Kind::Select { operand, .. } => below(operand),
        Kind::Call { target, args, .. } => target.as_deref().into_iter().chain(args).for_each(below),
        Kind::List(elements) => elements.iter().for_each(|e| below(&e.value)),
        Kind::Map(entries) => entries.iter().for_each(|e| {
            below(&e.key);
            below(&e.value);
        }),
        Kind::Struct { fields, .. } => fields.iter().for_each(|f| below(&f.value)),
        Kind::Fold(f) => [&f.range, &f.init, &f.condition, &f.step, &f.result].into_iter().for_each(below),
    }
}

/// Of lists only the first that differs is told.
fn same<'e>(checked: &Checked, parts: impl Iterator<Item = (&'e Expr, bool)>, one: bool, found: &mut Found) {
    let mut first: Option<Type> = None;
    for (expr, optional) in parts {
        let ty = checked.type_of(expr);
        let ty = if optional { ty.unwrap_optional().unwrap_or(ty) } else { ty };
        match &first {
            None => first = Some(ty.clone()),
            Some(before) if equivalent(before, ty) => {}
            Some(before) => {
                found.push((expr.id, format!("expected type '{before}' but found '{ty}'")));
                if one {
                    break;
                }
            }
        }
    }
}

fn equivalent(a: &Type, b: &Type) -> bool {
    a == b
}

//! Macros with two variables: index and element, key and value.
//! It must never evaluate what a filter left out.
// k8s: github.com/google/cel-go ext/comprehensions.go

use crate::ast::{Expr, Kind, Literal};
use crate::declare::{Library, decls};
use crate::error::Error;
use crate::macros::{Builder, Macro, MacroError, Quantifier, array, on, receiver};
use crate::meter::Meter;
use crate::value::{OwnedMap, Value};

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "cel.lib.ext.comprev2", functions: FUNCTIONS, macros: MACROS, types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "cel.@mapInsert" "@mapInsert_map_key_value" "(map(K, V), K, V) -> map(K, V)" => insert;
    "cel.@mapInsert" "@mapInsert_map_map" "(map(K, V), map(K, V)) -> map(K, V)" => insert;
};

const MACROS: &[Macro] = &[
    receiver("all", 3, 3, |b, at, t, args| quantifier(b, at, Quantifier::All, t, args)),
    receiver("exists", 3, 3, |b, at, t, args| quantifier(b, at, Quantifier::Exists, t, args)),
    receiver("existsOne", 3, 3, |b, at, t, args| quantifier(b, at, Quantifier::ExistsOne, t, args)),
    receiver("exists_one", 3, 3, |b, at, t, args| quantifier(b, at, Quantifier::ExistsOne, t, args)),
    receiver("transformList", 3, 4, transform_list),
    receiver("transformList", 4, 4, transform_list),
    receiver("transformMap", 3, 4, |b, at, t, args| transform_map(b, at, t, args, false)),
    receiver("transformMap", 4, 4, |b, at, t, args| transform_map(b, at, t, args, false)),
    receiver("transformMapEntry", 3, 4, |b, at, t, args| transform_map(b, at, t, args, true)),
    receiver("transformMapEntry", 4, 4, |b, at, t, args| transform_map(b, at, t, args, true)),
];

fn insert<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Map(map), rest @ ..] = args else { return Err(Error::no_such_overload()) };
    let mut out = OwnedMap::default();
    for (key, value) in map.iter() {
        out.set(key, value);
    }
    match rest {
        [key, value] => out.add(key.clone(), value.clone())?,
        [Value::Map(more)] => more.iter().try_for_each(|(k, v)| out.add(k, v))?,
        _ => return Err(Error::no_such_overload()),
    }
    Ok(Value::Map(out.into()))
}

/// The two variables.
fn variables(b: &Builder, first: &Expr, second: &Expr) -> Result<(String, Option<String>), MacroError> {
    const NAME: &str = "argument must be a simple name";
    let plain = |e: &Expr| e.as_ident().map(|_| ()).ok_or_else(|| (b.place(e), NAME.to_owned()));
    plain(first)?;
    plain(second)?;
    if first.as_ident() == second.as_ident() {
        let name = first.as_ident().unwrap_or("");
        return Err((b.place(second), format!("duplicate variable name: {name}")));
    }
    Ok((b.variable(first, NAME)?, Some(b.variable(second, NAME)?)))
}

fn quantifier(
    b: &mut Builder,
    at: usize,
    kind: Quantifier,
    target: Option<Expr>,
    args: Vec<Expr>,
) -> Result<Expr, MacroError> {
    let [first, second, predicate] = array(args);
    let vars = variables(b, &first, &second)?;
    let parts = b.quantified(at, kind, predicate);
    Ok(b.fold(at, on(target), vars, parts))
}

/// Variables, filter and value.
type Transform = ((String, Option<String>), Option<Expr>, Expr);

fn transform(b: &Builder, mut args: Vec<Expr>) -> Result<Transform, MacroError> {
    let filter = if args.len() == 4 { Some(args.remove(2)) } else { None };
    let [first, second, value] = array(args);
    Ok((variables(b, &first, &second)?, filter, value))
}

fn transform_list(
    b: &mut Builder,
    at: usize,
    target: Option<Expr>,
    args: Vec<Expr>,
) -> Result<Expr, MacroError> {
    let (vars, filter, value) = transform(b, args)?;
    let parts = b.collecting(at, filter, value);
    Ok(b.fold(at, on(target), vars, parts))
}

fn transform_map(
    b: &mut Builder,
    at: usize,
    target: Option<Expr>,
    args: Vec<Expr>,
    entries: bool,
) -> Result<Expr, MacroError> {
    let (vars, filter, value) = transform(b, args)?;
    let init = b.expr(at, Kind::Map(Vec::new()));
    let condition = b.literal(at, Literal::Bool(true));
    let accu = b.accu(at);
    let args = if entries { vec![accu, value] } else { vec![accu, b.ident(at, &vars.0), value] };
    let step = b.call(at, "cel.@mapInsert", args);
    let step = b.filtered(at, filter, step);
    let result = b.accu(at);
    Ok(b.fold(at, on(target), vars, [init, condition, step, result]))
}

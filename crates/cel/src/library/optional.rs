//! Values that may be missing, version 2.
//! It must never give a value that is not there.
// k8s: github.com/google/cel-go cel/library.go optionalLib

use crate::ast::Expr;
use crate::declare::{Library, decls};
use crate::error::Error;
use crate::macros::{self, Builder, Macro, MacroError};
use crate::meter::Meter;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "optional", functions: FUNCTIONS, macros: MACROS, types: &["optional_type"] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "_?._" "select_optional_field" "(dyn, string) -> optional_type(V)" => unplanned;
    "_[?_]" "list_optindex_optional_int" "(list(V), int) -> optional_type(V)" => unplanned;
    "_[?_]" "optional_list_optindex_optional_int" "(optional_type(list(V)), int) -> optional_type(V)" => unplanned;
    "_[?_]" "map_optindex_optional_value" "(map(K, V), K) -> optional_type(V)" => unplanned;
    "_[?_]" "optional_map_optindex_optional_value" "(optional_type(map(K, V)), K) -> optional_type(V)" => unplanned;
    "_[_]" "optional_list_index_int" "(optional_type(list(V)), int) -> optional_type(V)" => unplanned;
    "_[_]" "optional_map_index_value" "(optional_type(map(K, V)), K) -> optional_type(V)" => unplanned;
    "first" "list_first" "list(V).() -> optional_type(V)" => first;
    "hasValue" "optional_hasValue" "optional_type(V).() -> bool" => has_value;
    "last" "list_last" "list(V).() -> optional_type(V)" => last;
    "optional.none" "optional_none" "() -> optional_type(V)" => none;
    "optional.of" "optional_of" "(V) -> optional_type(V)" => of;
    "optional.ofNonZeroValue" "optional_ofNonZeroValue" "(V) -> optional_type(V)" => of_non_zero;
    "optional.unwrap" "optional_unwrap" "(list(optional_type(V))) -> list(V)" => unwrap;
    "or" "optional_or_optional" "optional_type(V).(optional_type(V)) -> optional_type(V)" => unplanned;
    "orValue" "optional_orValue_value" "optional_type(V).(V) -> V" => unplanned;
    "unwrapOpt" "optional_unwrapOpt" "list(optional_type(V)).() -> list(V)" => unwrap;
    "value" "optional_value" "optional_type(V).() -> V" => value;
};

const MACROS: &[Macro] = &[
    macros::receiver("optMap", 2, 4, |b, at, target, args| opt_map(b, at, target, args, true)),
    macros::receiver("optFlatMap", 2, 4, |b, at, target, args| opt_map(b, at, target, args, false)),
];

/// What the planner makes steps of.
fn unplanned<'a>(_: &mut Meter<'_>, _: &[Value<'a>]) -> Out<'a> {
    Err(Error::no_such_overload())
}

fn none<'a>(_: &mut Meter<'_>, _: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Optional(None))
}

fn of<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    args.first().cloned().map(Value::some).ok_or_else(Error::no_such_overload)
}

fn of_non_zero<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [value] if value.is_zero() => Ok(Value::Optional(None)),
        _ => of(run, args),
    }
}

fn value<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Optional(Some(value))] => Ok(Value::clone(value)),
        [Value::Optional(None)] => Err(Error::new("optional.none() dereference")),
        _ => Err(Error::no_such_overload()),
    }
}

fn has_value<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Optional(o)] => Ok(Value::Bool(o.is_some())),
        _ => Err(Error::no_such_overload()),
    }
}

fn first<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    Ok(list.get(0).map_or(Value::Optional(None), Value::some))
}

fn last<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    let last = list.len().checked_sub(1).and_then(|at| list.get(at));
    Ok(last.map_or(Value::Optional(None), Value::some))
}

fn unwrap<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    let mut out = Vec::new();
    for value in list.iter() {
        match value {
            Value::Optional(Some(value)) => out.push(Value::clone(&value)),
            Value::Optional(None) => {}
            other => return Err(Error::new(format!("value {other} is not optional"))),
        }
    }
    Ok(Value::list(out))
}

/// `o.optMap(x, e)`: `e` of what is there, in an optional again unless `e` makes one.
fn opt_map(
    b: &mut Builder,
    at: usize,
    target: Option<Expr>,
    args: Vec<Expr>,
    wrap: bool,
) -> Result<Expr, MacroError> {
    let target = macros::on(target);
    let [var, value] = macros::array(args);
    let Some(name) = var.as_ident() else {
        let function = if wrap { "optMap" } else { "optFlatMap" };
        let message = format!("{function}() variable name must be a simple identifier");
        return Err((b.place(&var), message));
    };
    // As upstream, what is asked is evaluated twice, and costs so.
    let copy = b.copy(&target)?;
    let condition = b.member(at, "hasValue", target, Vec::new());
    let inner = b.member(at, "value", copy, Vec::new());
    let bound = b.bound(at, name, inner, value);
    let yes = if wrap { b.call(at, "optional.of", vec![bound]) } else { bound };
    let no = b.call(at, "optional.none", Vec::new());
    Ok(b.call(at, "_?_:_", vec![condition, yes, no]))
}

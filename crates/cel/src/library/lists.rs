//! Lists of the language's library, version 3: slices, sorting, ranges.
//! It must never build a list that was not paid for.
// k8s: github.com/google/cel-go ext/lists.go

use crate::ast::{Expr, Kind};
use crate::declare::{Library, decls};
use crate::error::Error;
use crate::macros::{self, Builder, Macro, MacroError};
use crate::meter::Meter;
use crate::value::{List, Value, equal, order};
use std::cmp::Ordering;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "cel.lib.ext.lists", functions: FUNCTIONS, macros: MACROS, types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "@sortByAssociatedKeys" "list_int_sortByAssociatedKeys" "list(T).(list(int)) -> list(T)" => sort_by_keys;
    "@sortByAssociatedKeys" "list_uint_sortByAssociatedKeys" "list(T).(list(uint)) -> list(T)" => sort_by_keys;
    "@sortByAssociatedKeys" "list_double_sortByAssociatedKeys" "list(T).(list(double)) -> list(T)" => sort_by_keys;
    "@sortByAssociatedKeys" "list_bool_sortByAssociatedKeys" "list(T).(list(bool)) -> list(T)" => sort_by_keys;
    "@sortByAssociatedKeys" "list_google.protobuf.Duration_sortByAssociatedKeys" "list(T).(list(duration)) -> list(T)" => sort_by_keys;
    "@sortByAssociatedKeys" "list_google.protobuf.Timestamp_sortByAssociatedKeys" "list(T).(list(timestamp)) -> list(T)" => sort_by_keys;
    "@sortByAssociatedKeys" "list_string_sortByAssociatedKeys" "list(T).(list(string)) -> list(T)" => sort_by_keys;
    "@sortByAssociatedKeys" "list_bytes_sortByAssociatedKeys" "list(T).(list(bytes)) -> list(T)" => sort_by_keys;
    "distinct" "list_distinct" "list(T).() -> list(T)" => distinct;
    "flatten" "list_flatten" "list(list(T)).() -> list(T)" => flatten;
    "flatten" "list_flatten_int" "list(dyn).(int) -> list(dyn)" => flatten;
    "lists.range" "lists_range" "(int) -> list(int)" => range;
    "reverse" "list_reverse" "list(T).() -> list(T)" => reverse;
    "slice" "list_slice" "list(T).(int, int) -> list(T)" => slice;
    "sort" "list_int_sort" "list(int).() -> list(int)" => sort;
    "sort" "list_uint_sort" "list(uint).() -> list(uint)" => sort;
    "sort" "list_double_sort" "list(double).() -> list(double)" => sort;
    "sort" "list_bool_sort" "list(bool).() -> list(bool)" => sort;
    "sort" "list_google.protobuf.Duration_sort" "list(duration).() -> list(duration)" => sort;
    "sort" "list_google.protobuf.Timestamp_sort" "list(timestamp).() -> list(timestamp)" => sort;
    "sort" "list_string_sort" "list(string).() -> list(string)" => sort;
    "sort" "list_bytes_sort" "list(bytes).() -> list(bytes)" => sort;
};

const MACROS: &[Macro] = &[macros::receiver("sortBy", 2, 5, sort_by)];

/// The longest list that `lists.range` makes.
const MAX_RANGE: i64 = 1_000_000;

fn slice<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else {
        return Err(Error::no_such_overload());
    };
    let bad = |what: String| Err(Error::new(format!("cannot slice({start}, {end}), {what}")));
    let (Ok(from), Ok(to)) = (usize::try_from(*start), usize::try_from(*end)) else {
        return bad("negative indexes not supported".to_owned());
    };
    if from > to {
        return bad("start index must be less than or equal to end index".to_owned());
    }
    if to > list.len() {
        return bad(format!("list is length {}", list.len()));
    }
    Ok(Value::list((from..to).map_while(|at| list.get(at)).collect()))
}

fn flatten<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list), rest @ ..] = args else {
        let types: Vec<_> = args.iter().map(|v| v.ty().to_string()).collect();
        let (on, with) = types.split_first().map_or(("", &[][..]), |(on, with)| (on.as_str(), with));
        return Err(Error::new(format!("no such overload: {on}.flatten({})", with.join(", "))));
    };
    let depth = rest.first().and_then(Value::as_int).unwrap_or(1);
    if depth < 0 {
        return Err(Error::new("level must be non-negative"));
    }
    let mut out = Vec::new();
    flat(run, list, depth, &mut out)?;
    Ok(Value::list(out))
}

fn flat<'a>(run: &mut Meter<'_>, list: &List<'a>, depth: i64, out: &mut Vec<Value<'a>>) -> Result<(), Error> {
    for value in list.iter() {
        match value {
            // Deeper than this no list can be made.
            Value::List(inner) if depth > 0 => flat(run, &inner, depth - 1, out)?,
            value => {
                run.step()?;
                out.push(value);
            }
        }
    }
    Ok(())
}

fn range<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Int(n)] = args else { return Err(Error::no_such_overload()) };
    if *n < 0 {
        return Err(Error::new(format!("lists.range: size must be non-negative, got {n}")));
    }
    if *n > MAX_RANGE {
        return Err(Error::new(format!("lists.range: size {n} exceeds maximum allowed ({MAX_RANGE})")));
    }
    Ok(Value::list((0..*n).map(Value::Int).collect()))
}

fn reverse<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    Ok(Value::list((0..list.len()).rev().map_while(|at| list.get(at)).collect()))
}

fn distinct<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    let mut out: Vec<Value<'a>> = Vec::new();
    'values: for value in list.iter() {
        for seen in &out {
            if equal(&value, seen, &mut run.work)? {
                continue 'values;
            }
        }
        out.push(value);
    }
    Ok(Value::list(out))
}

fn sort<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    sorted(list, list)
}

fn sort_by_keys<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list), Value::List(keys)] = args else { return Err(Error::no_such_overload()) };
    sorted(list, keys)
}

/// The elements in the order of their keys.
fn sorted<'a>(list: &List<'a>, keys: &List<'a>) -> Out<'a> {
    if list.len() != keys.len() {
        return Err(Error::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} elements respectively",
            list.len(),
            keys.len()
        )));
    }
    let Some(first) = keys.get(0) else { return Ok(Value::List(list.clone())) };
    if order(&first, &first).is_none() && !matches!(first, Value::Double(_)) {
        return Err(Error::new("list elements must be comparable"));
    }
    let mut pairs: Vec<_> = keys.iter().zip(list.iter()).collect();
    if pairs.iter().any(|(k, _)| k.type_name() != first.type_name()) {
        return Err(Error::new("list elements must have the same type"));
    }
    pairs.sort_by(|(a, _), (b, _)| order(a, b).unwrap_or(Ordering::Equal));
    Ok(Value::list(pairs.into_iter().map(|(_, v)| v).collect()))
}

/// `l.sortBy(x, key)`: the list is bound to a name, its keys are made, and both go to the function that sorts.
fn sort_by(b: &mut Builder, at: usize, target: Option<Expr>, args: Vec<Expr>) -> Result<Expr, MacroError> {
    const NAME: &str = "@__sortBy_input__";
    let target = macros::on(target);
    if !matches!(
        target.kind,
        Kind::List(_) | Kind::Select { .. } | Kind::Ident(_) | Kind::Fold(_) | Kind::Call { .. }
    ) {
        return Err((
            b.place(&target),
            "sortBy can only be applied to a list, identifier, comprehension, call or select expression"
                .to_owned(),
        ));
    }
    let range = b.ident(at, NAME);
    let keys = macros::map(b, at, Some(range), args)?;
    let list = b.ident(at, NAME);
    let sorted = b.member(at, "@sortByAssociatedKeys", list, vec![keys]);
    Ok(b.bound(at, NAME, target, sorted))
}

//! Lists as sets.
//! It must never compare more than it has work for.
// k8s: github.com/google/cel-go ext/sets.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::value::{List, Value, equal};

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "cel.lib.ext.sets", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "sets.contains" "list_sets_contains_list" "(list(T), list(T)) -> bool" => contains;
    "sets.equivalent" "list_sets_equivalent_list" "(list(T), list(T)) -> bool" => equivalent;
    "sets.intersects" "list_sets_intersects_list" "(list(T), list(T)) -> bool" => intersects;
};

fn lists<'v, 'a>(args: &'v [Value<'a>]) -> Result<(&'v List<'a>, &'v List<'a>), Error> {
    match args {
        [Value::List(a), Value::List(b)] => Ok((a, b)),
        _ => Err(Error::no_such_overload()),
    }
}

fn has<'a>(run: &mut Meter<'_>, list: &List<'a>, value: &Value<'a>) -> Result<bool, Error> {
    for element in list.iter() {
        if equal(value, &element, &mut run.work)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_all<'a>(run: &mut Meter<'_>, list: &List<'a>, values: &List<'a>) -> Result<bool, Error> {
    for value in values.iter() {
        if !has(run, list, &value)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let (a, b) = lists(args)?;
    has_all(run, a, b).map(Value::Bool)
}

fn equivalent<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let (a, b) = lists(args)?;
    Ok(Value::Bool(has_all(run, a, b)? && has_all(run, b, a)?))
}

fn intersects<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let (a, b) = lists(args)?;
    for value in a.iter() {
        if has(run, b, &value)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

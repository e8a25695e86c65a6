//! Lists of Kubernetes' library: sums, extremes, places of elements.
//! It must never hide an overflow.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/lists.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::value::{List, Value, equal, order};
use std::cmp::Ordering;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "kubernetes.lists", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "includes" "list_includes_dyn_dyn" "dyn.(dyn) -> bool" => includes;
    "indexOf" "list_a_index_of_int" "list(A).(A) -> int" => index_of;
    "isSorted" "list_int_is_sorted_bool" "list(int).() -> bool" => is_sorted;
    "isSorted" "list_uint_is_sorted_bool" "list(uint).() -> bool" => is_sorted;
    "isSorted" "list_double_is_sorted_bool" "list(double).() -> bool" => is_sorted;
    "isSorted" "list_bool_is_sorted_bool" "list(bool).() -> bool" => is_sorted;
    "isSorted" "list_duration_is_sorted_bool" "list(duration).() -> bool" => is_sorted;
    "isSorted" "list_timestamp_is_sorted_bool" "list(timestamp).() -> bool" => is_sorted;
    "isSorted" "list_string_is_sorted_bool" "list(string).() -> bool" => is_sorted;
    "isSorted" "list_bytes_is_sorted_bool" "list(bytes).() -> bool" => is_sorted;
    "lastIndexOf" "list_a_last_index_of_int" "list(A).(A) -> int" => last_index_of;
    "max" "list_int_max_int" "list(int).() -> int" => max;
    "max" "list_uint_max_uint" "list(uint).() -> uint" => max;
    "max" "list_double_max_double" "list(double).() -> double" => max;
    "max" "list_bool_max_bool" "list(bool).() -> bool" => max;
    "max" "list_duration_max_duration" "list(duration).() -> duration" => max;
    "max" "list_timestamp_max_timestamp" "list(timestamp).() -> timestamp" => max;
    "max" "list_string_max_string" "list(string).() -> string" => max;
    "max" "list_bytes_max_bytes" "list(bytes).() -> bytes" => max;
    "min" "list_int_min_int" "list(int).() -> int" => min;
    "min" "list_uint_min_uint" "list(uint).() -> uint" => min;
    "min" "list_double_min_double" "list(double).() -> double" => min;
    "min" "list_bool_min_bool" "list(bool).() -> bool" => min;
    "min" "list_duration_min_duration" "list(duration).() -> duration" => min;
    "min" "list_timestamp_min_timestamp" "list(timestamp).() -> timestamp" => min;
    "min" "list_string_min_string" "list(string).() -> string" => min;
    "min" "list_bytes_min_bytes" "list(bytes).() -> bytes" => min;
    "sum" "list_int_sum_int" "list(int).() -> int" => |run, a| sum(run, a, Sum::Int);
    "sum" "list_uint_sum_uint" "list(uint).() -> uint" => |run, a| sum(run, a, Sum::Uint);
    "sum" "list_double_sum_double" "list(double).() -> double" => |run, a| sum(run, a, Sum::Double);
    "sum" "list_duration_sum_duration" "list(duration).() -> duration" => |run, a| sum(run, a, Sum::Duration);
};

fn list<'v, 'a>(args: &'v [Value<'a>]) -> Result<&'v List<'a>, Error> {
    args.first().and_then(Value::as_list).ok_or_else(Error::no_such_overload)
}

fn is_sorted<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let mut before: Option<Value<'a>> = None;
    for value in list(args)?.iter() {
        if let Some(before) = &before {
            // What cannot be compared is in order.
            if order(before, &value) == Some(Ordering::Greater) {
                return Ok(Value::Bool(false));
            }
        }
        before = Some(value);
    }
    Ok(Value::Bool(true))
}

/// What is summed.
#[derive(Clone, Copy)]
enum Sum {
    Int,
    Uint,
    Double,
    Duration,
}

fn sum<'a>(_: &mut Meter<'_>, args: &[Value<'a>], of: Sum) -> Out<'a> {
    let zero = match of {
        Sum::Int => Value::Int(0),
        Sum::Uint => Value::Uint(0),
        Sum::Double => Value::Double(0.0),
        Sum::Duration => Value::Duration(crate::value::Duration(0)),
    };
    list(args)?.iter().try_fold(zero, |sum, value| crate::library::standard::plus(&sum, &value))
}

fn extreme<'a>(args: &[Value<'a>], name: &str, better: Ordering) -> Out<'a> {
    let mut best: Option<Value<'a>> = None;
    for value in list(args)?.iter() {
        if best.as_ref().is_none_or(|b| order(&value, b) == Some(better)) {
            best = Some(value);
        }
    }
    best.ok_or_else(|| Error::new(format!("{name} called on empty list")))
}

fn max<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    extreme(args, "max", Ordering::Greater)
}

fn min<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    extreme(args, "min", Ordering::Less)
}

fn place<'a>(run: &mut Meter<'_>, args: &[Value<'a>], last: bool) -> Out<'a> {
    let [Value::List(list), wanted] = args else { return Err(Error::no_such_overload()) };
    for n in 0..list.len() {
        let at = if last { list.len() - 1 - n } else { n };
        let Some(value) = list.get(at) else { break };
        if equal(&value, wanted, &mut run.work)? {
            return Ok(Value::Int(i64::try_from(at).unwrap_or(i64::MAX)));
        }
    }
    Ok(Value::Int(-1))
}

fn index_of<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    place(run, args, false)
}

fn last_index_of<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    place(run, args, true)
}

/// Whether a list has an element, or a value that is no list is it: for labels that are one or several.
fn includes<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::List(_), _] => Ok(Value::Bool(!matches!(place(run, args, false)?, Value::Int(-1)))),
        [target, wanted] => equal(target, wanted, &mut run.work).map(Value::Bool),
        _ => Err(Error::no_such_overload()),
    }
}

//! The language's own functions: operators, sizes, conversions, strings.
//! It must never hold what a library of its own could.
// k8s: github.com/google/cel-go common/stdlib/standard.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::macros;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{Timestamp, Value, compare, convert, equal};
use std::cmp::Ordering;

pub const LIBRARY: Library =
    Library { name: "standard", functions: FUNCTIONS, macros: macros::STANDARD, types: TYPES };

const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

type Out<'a> = Result<Value<'a>, Error>;

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "!_" "logical_not" "(bool) -> bool" => not;
    "-_" "negate_double" "(double) -> double" => negate;
    "-_" "negate_int64" "(int) -> int" => negate;
    "@in" "in_list" "(A, list(A)) -> bool" => contains;
    "@in" "in_map" "(A, map(A, B)) -> bool" => contains;
    "@not_strictly_false" "not_strictly_false" "(bool) -> bool" => not_false;
    "_!=_" "not_equals" "(A, A) -> bool" => unplanned;
    "_%_" "modulo_int64" "(int, int) -> int" => modulo;
    "_%_" "modulo_uint64" "(uint, uint) -> uint" => modulo;
    "_&&_" "logical_and" "(bool, bool) -> bool" => unplanned;
    "_*_" "multiply_double" "(double, double) -> double" => multiply;
    "_*_" "multiply_int64" "(int, int) -> int" => multiply;
    "_*_" "multiply_uint64" "(uint, uint) -> uint" => multiply;
    "_+_" "add_bytes" "(bytes, bytes) -> bytes" => add;
    "_+_" "add_double" "(double, double) -> double" => add;
    "_+_" "add_duration_duration" "(duration, duration) -> duration" => add;
    "_+_" "add_duration_timestamp" "(duration, timestamp) -> timestamp" => add;
    "_+_" "add_timestamp_duration" "(timestamp, duration) -> timestamp" => add;
    "_+_" "add_int64" "(int, int) -> int" => add;
    "_+_" "add_list" "(list(A), list(A)) -> list(A)" => add;
    "_+_" "add_string" "(string, string) -> string" => add;
    "_+_" "add_uint64" "(uint, uint) -> uint" => add;
    "_-_" "subtract_double" "(double, double) -> double" => subtract;
    "_-_" "subtract_duration_duration" "(duration, duration) -> duration" => subtract;
    "_-_" "subtract_int64" "(int, int) -> int" => subtract;
    "_-_" "subtract_timestamp_duration" "(timestamp, duration) -> timestamp" => subtract;
    "_-_" "subtract_timestamp_timestamp" "(timestamp, timestamp) -> duration" => subtract;
    "_-_" "subtract_uint64" "(uint, uint) -> uint" => subtract;
    "_/_" "divide_double" "(double, double) -> double" => divide;
    "_/_" "divide_int64" "(int, int) -> int" => divide;
    "_/_" "divide_uint64" "(uint, uint) -> uint" => divide;
    "_<=_" "less_equals_bool" "(bool, bool) -> bool" => at_most;
    "_<=_" "less_equals_int64" "(int, int) -> bool" => at_most;
    "_<=_" "less_equals_int64_double" "(int, double) -> bool" => at_most;
    "_<=_" "less_equals_int64_uint64" "(int, uint) -> bool" => at_most;
    "_<=_" "less_equals_uint64" "(uint, uint) -> bool" => at_most;
    "_<=_" "less_equals_uint64_double" "(uint, double) -> bool" => at_most;
    "_<=_" "less_equals_uint64_int64" "(uint, int) -> bool" => at_most;
    "_<=_" "less_equals_double" "(double, double) -> bool" => at_most;
    "_<=_" "less_equals_double_int64" "(double, int) -> bool" => at_most;
    "_<=_" "less_equals_double_uint64" "(double, uint) -> bool" => at_most;
    "_<=_" "less_equals_string" "(string, string) -> bool" => at_most;
    "_<=_" "less_equals_bytes" "(bytes, bytes) -> bool" => at_most;
    "_<=_" "less_equals_timestamp" "(timestamp, timestamp) -> bool" => at_most;
    "_<=_" "less_equals_duration" "(duration, duration) -> bool" => at_most;
    "_<_" "less_bool" "(bool, bool) -> bool" => less;
    "_<_" "less_int64" "(int, int) -> bool" => less;
    "_<_" "less_int64_double" "(int, double) -> bool" => less;
    "_<_" "less_int64_uint64" "(int, uint) -> bool" => less;
    "_<_" "less_uint64" "(uint, uint) -> bool" => less;
    "_<_" "less_uint64_double" "(uint, double) -> bool" => less;
    "_<_" "less_uint64_int64" "(uint, int) -> bool" => less;
    "_<_" "less_double" "(double, double) -> bool" => less;
    "_<_" "less_double_int64" "(double, int) -> bool" => less;
    "_<_" "less_double_uint64" "(double, uint) -> bool" => less;
    "_<_" "less_string" "(string, string) -> bool" => less;
    "_<_" "less_bytes" "(bytes, bytes) -> bool" => less;
    "_<_" "less_timestamp" "(timestamp, timestamp) -> bool" => less;
    "_<_" "less_duration" "(duration, duration) -> bool" => less;
    "_==_" "equals" "(A, A) -> bool" => unplanned;
    "_>=_" "greater_equals_bool" "(bool, bool) -> bool" => at_least;
    "_>=_" "greater_equals_int64" "(int, int) -> bool" => at_least;
    "_>=_" "greater_equals_int64_double" "(int, double) -> bool" => at_least;
    "_>=_" "greater_equals_int64_uint64" "(int, uint) -> bool" => at_least;
    "_>=_" "greater_equals_uint64" "(uint, uint) -> bool" => at_least;
    "_>=_" "greater_equals_uint64_double" "(uint, double) -> bool" => at_least;
    "_>=_" "greater_equals_uint64_int64" "(uint, int) -> bool" => at_least;
    "_>=_" "greater_equals_double" "(double, double) -> bool" => at_least;
    "_>=_" "greater_equals_double_int64" "(double, int) -> bool" => at_least;
    "_>=_" "greater_equals_double_uint64" "(double, uint) -> bool" => at_least;
    "_>=_" "greater_equals_string" "(string, string) -> bool" => at_least;
    "_>=_" "greater_equals_bytes" "(bytes, bytes) -> bool" => at_least;
    "_>=_" "greater_equals_timestamp" "(timestamp, timestamp) -> bool" => at_least;
    "_>=_" "greater_equals_duration" "(duration, duration) -> bool" => at_least;
    "_>_" "greater_bool" "(bool, bool) -> bool" => greater;
    "_>_" "greater_int64" "(int, int) -> bool" => greater;
    "_>_" "greater_int64_double" "(int, double) -> bool" => greater;
    "_>_" "greater_int64_uint64" "(int, uint) -> bool" => greater;
    "_>_" "greater_uint64" "(uint, uint) -> bool" => greater;
    "_>_" "greater_uint64_double" "(uint, double) -> bool" => greater;
    "_>_" "greater_uint64_int64" "(uint, int) -> bool" => greater;
    "_>_" "greater_double" "(double, double) -> bool" => greater;
    "_>_" "greater_double_int64" "(double, int) -> bool" => greater;
    "_>_" "greater_double_uint64" "(double, uint) -> bool" => greater;
    "_>_" "greater_string" "(string, string) -> bool" => greater;
    "_>_" "greater_bytes" "(bytes, bytes) -> bool" => greater;
    "_>_" "greater_timestamp" "(timestamp, timestamp) -> bool" => greater;
    "_>_" "greater_duration" "(duration, duration) -> bool" => greater;
    "_?_:_" "conditional" "(bool, A, A) -> A" => unplanned;
    "_[_]" "index_list" "(list(A), int) -> A" => unplanned;
    "_[_]" "index_map" "(map(A, B), A) -> B" => unplanned;
    "_||_" "logical_or" "(bool, bool) -> bool" => unplanned;
    "bool" "bool_to_bool" "(bool) -> bool" => |_, a| to(a, &Type::Bool);
    "bool" "string_to_bool" "(string) -> bool" => |_, a| to(a, &Type::Bool);
    "bytes" "bytes_to_bytes" "(bytes) -> bytes" => |_, a| to(a, &Type::Bytes);
    "bytes" "string_to_bytes" "(string) -> bytes" => |_, a| to(a, &Type::Bytes);
    "contains" "contains_string" "string.(string) -> bool" => text_contains;
    "double" "double_to_double" "(double) -> double" => |_, a| to(a, &Type::Double);
    "double" "int64_to_double" "(int) -> double" => |_, a| to(a, &Type::Double);
    "double" "string_to_double" "(string) -> double" => |_, a| to(a, &Type::Double);
    "double" "uint64_to_double" "(uint) -> double" => |_, a| to(a, &Type::Double);
    "duration" "duration_to_duration" "(duration) -> duration" => |_, a| to(a, &Type::Duration);
    "duration" "string_to_duration" "(string) -> duration" => |_, a| to(a, &Type::Duration);
    "dyn" "to_dyn" "(A) -> dyn" => same;
    "endsWith" "ends_with_string" "string.(string) -> bool" => ends_with;
    "int" "int64_to_int64" "(int) -> int" => |_, a| to(a, &Type::Int);
    "int" "double_to_int64" "(double) -> int" => |_, a| to(a, &Type::Int);
    "int" "duration_to_int64" "(duration) -> int" => |_, a| to(a, &Type::Int);
    "int" "string_to_int64" "(string) -> int" => |_, a| to(a, &Type::Int);
    "int" "timestamp_to_int64" "(timestamp) -> int" => |_, a| to(a, &Type::Int);
    "int" "uint64_to_int64" "(uint) -> int" => |_, a| to(a, &Type::Int);
    "matches" "matches" "(string, string) -> bool" => matches;
    "matches" "matches_string" "string.(string) -> bool" => matches;
    "size" "size_bytes" "(bytes) -> int" => size;
    "size" "bytes_size" "bytes.() -> int" => size;
    "size" "size_list" "(list(A)) -> int" => size;
    "size" "list_size" "list(A).() -> int" => size;
    "size" "size_map" "(map(A, B)) -> int" => size;
    "size" "map_size" "map(A, B).() -> int" => size;
    "size" "size_string" "(string) -> int" => size;
    "size" "string_size" "string.() -> int" => size;
    "startsWith" "starts_with_string" "string.(string) -> bool" => starts_with;
    "string" "string_to_string" "(string) -> string" => |_, a| to(a, &Type::String);
    "string" "bool_to_string" "(bool) -> string" => |_, a| to(a, &Type::String);
    "string" "bytes_to_string" "(bytes) -> string" => |_, a| to(a, &Type::String);
    "string" "double_to_string" "(double) -> string" => |_, a| to(a, &Type::String);
    "string" "duration_to_string" "(duration) -> string" => |_, a| to(a, &Type::String);
    "string" "int64_to_string" "(int) -> string" => |_, a| to(a, &Type::String);
    "string" "timestamp_to_string" "(timestamp) -> string" => |_, a| to(a, &Type::String);
    "string" "uint64_to_string" "(uint) -> string" => |_, a| to(a, &Type::String);
    "timestamp" "timestamp_to_timestamp" "(timestamp) -> timestamp" => |_, a| to(a, &Type::Timestamp);
    "timestamp" "int64_to_timestamp" "(int) -> timestamp" => |_, a| to(a, &Type::Timestamp);
    "timestamp" "string_to_timestamp" "(string) -> timestamp" => |_, a| to(a, &Type::Timestamp);
    "type" "type" "(A) -> type(A)" => type_of;
    "uint" "uint64_to_uint64" "(uint) -> uint" => |_, a| to(a, &Type::Uint);
    "uint" "double_to_uint64" "(double) -> uint" => |_, a| to(a, &Type::Uint);
    "uint" "int64_to_uint64" "(int) -> uint" => |_, a| to(a, &Type::Uint);
    "uint" "string_to_uint64" "(string) -> uint" => |_, a| to(a, &Type::Uint);
};

fn none<'a>() -> Out<'a> {
    Err(Error::no_such_overload())
}

/// Operators that the planner makes steps of.
fn unplanned<'a>(_: &mut Meter<'_>, _: &[Value<'a>]) -> Out<'a> {
    none()
}

fn to<'a>(args: &[Value<'a>], ty: &Type) -> Out<'a> {
    match args {
        [value] => convert(value, ty),
        _ => none(),
    }
}

fn same<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    args.first().cloned().ok_or_else(Error::no_such_overload)
}

fn type_of<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    args.first().map(|v| Value::Type(v.ty())).ok_or_else(Error::no_such_overload)
}

fn not<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Bool(b)] => Ok(Value::Bool(!b)),
        _ => none(),
    }
}

/// Anything but false: errors too, so that loops go on over them.
fn not_false<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(!matches!(args, [Value::Bool(false)])))
}

fn int_overflow() -> Error {
    Error::new("integer overflow")
}

fn uint_overflow() -> Error {
    Error::new("unsigned integer overflow")
}

fn negate<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(i)] => i.checked_neg().map(Value::Int).ok_or_else(int_overflow),
        [Value::Double(d)] => Ok(Value::Double(-d)),
        _ => none(),
    }
}

/// The sum of two values.
pub(super) fn plus<'a>(a: &Value<'a>, b: &Value<'a>) -> Out<'a> {
    sum(&[a.clone(), b.clone()])
}

fn add<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    if let [Value::Str(a), Value::Str(b)] = args {
        run.allocate(a.len().saturating_add(b.len()))?;
    }
    sum(args)
}

fn sum<'a>(args: &[Value<'a>]) -> Out<'a> {
    use Value::{Bytes, Double, Duration, Int, List, Str, Uint};
    match args {
        [Int(a), Int(b)] => a.checked_add(*b).map(Int).ok_or_else(int_overflow),
        [Uint(a), Uint(b)] => a.checked_add(*b).map(Uint).ok_or_else(uint_overflow),
        [Double(a), Double(b)] => Ok(Double(a + b)),
        [Str(a), Str(b)] => Ok(Value::str([&**a, &**b].concat())),
        [Bytes(a), Bytes(b)] => Ok(Bytes([&**a, &**b].concat().into())),
        [List(a), List(b)] => a.join(b).map(List).ok_or(Error::over_budget()),
        [Duration(a), Duration(b)] => duration(a.nanos().checked_add(b.nanos())),
        [Value::Timestamp(t), Duration(d)] | [Duration(d), Value::Timestamp(t)] => {
            timestamp(t.plus(i128::from(d.nanos())))
        }
        _ => none(),
    }
}

fn duration<'a>(nanos: Option<i64>) -> Out<'a> {
    let nanos = nanos.ok_or_else(|| Error::new("integer overflow"))?;
    Ok(Value::Duration(crate::value::Duration(nanos)))
}

fn timestamp<'a>(t: Option<Timestamp>) -> Out<'a> {
    t.map(Value::Timestamp).ok_or_else(|| Error::new("timestamp overflow"))
}

fn subtract<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    use Value::{Double, Duration, Int, Uint};
    match args {
        [Int(a), Int(b)] => a.checked_sub(*b).map(Int).ok_or_else(int_overflow),
        [Uint(a), Uint(b)] => a.checked_sub(*b).map(Uint).ok_or_else(uint_overflow),
        [Double(a), Double(b)] => Ok(Double(a - b)),
        [Duration(a), Duration(b)] => duration(a.nanos().checked_sub(b.nanos())),
        [Value::Timestamp(t), Duration(d)] => timestamp(t.plus(-i128::from(d.nanos()))),
        [Value::Timestamp(a), Value::Timestamp(b)] => duration(a.since(*b).map(|d| d.nanos())),
        _ => none(),
    }
}

fn multiply<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    use Value::{Double, Int, Uint};
    match args {
        [Int(a), Int(b)] => a.checked_mul(*b).map(Int).ok_or_else(int_overflow),
        [Uint(a), Uint(b)] => a.checked_mul(*b).map(Uint).ok_or_else(uint_overflow),
        [Double(a), Double(b)] => Ok(Double(a * b)),
        _ => none(),
    }
}

fn divide<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    use Value::{Double, Int, Uint};
    match args {
        [Int(_), Int(0)] | [Uint(_), Uint(0)] => Err(Error::new("division by zero")),
        [Int(a), Int(b)] => a.checked_div(*b).map(Int).ok_or_else(int_overflow),
        [Uint(a), Uint(b)] => Ok(Uint(a / b)),
        [Double(a), Double(b)] => Ok(Double(a / b)),
        _ => none(),
    }
}

fn modulo<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    use Value::{Int, Uint};
    match args {
        [Int(_), Int(0)] | [Uint(_), Uint(0)] => Err(Error::new("modulus by zero")),
        [Int(a), Int(b)] => a.checked_rem(*b).map(Int).ok_or_else(int_overflow),
        [Uint(a), Uint(b)] => Ok(Uint(a % b)),
        _ => none(),
    }
}

fn ordered<'a>(args: &[Value<'a>], is: fn(Ordering) -> bool) -> Out<'a> {
    match args {
        [a, b] => compare(a, b).map(|o| Value::Bool(is(o))),
        _ => none(),
    }
}

fn less<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    ordered(args, Ordering::is_lt)
}

fn at_most<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    ordered(args, Ordering::is_le)
}

fn greater<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    ordered(args, Ordering::is_gt)
}

fn at_least<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    ordered(args, Ordering::is_ge)
}

fn contains<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [value, Value::List(list)] => {
            for element in list.iter() {
                if equal(value, &element, &mut run.work)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        [key, Value::Map(map)] => Ok(Value::Bool(map.get(key).is_some())),
        _ => none(),
    }
}

fn size<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let size = args.first().and_then(Value::sizer).ok_or_else(Error::no_such_overload)?;
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn text_contains<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Str(a), Value::Str(b)] => Ok(Value::Bool(a.contains(&**b))),
        _ => none(),
    }
}

fn starts_with<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Str(a), Value::Str(b)] => Ok(Value::Bool(a.starts_with(&**b))),
        _ => none(),
    }
}

fn ends_with<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Str(a), Value::Str(b)] => Ok(Value::Bool(a.ends_with(&**b))),
        _ => none(),
    }
}

fn matches<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Str(text), Value::Str(pattern)] => Ok(Value::Bool(run.regex(pattern)?.is_match(text))),
        _ => none(),
    }
}

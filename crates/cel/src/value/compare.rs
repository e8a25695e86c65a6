//! Which of two values comes first. Numbers of all kinds compare with each other.
//! It must never call two numbers equal that differ.
// k8s: github.com/google/cel-go common/types/compare.go

use super::data::Value;
use crate::error::Error;
use std::cmp::Ordering;

/// The order of two values of one kind; numbers are one kind. `None` for those that have none, and with NaN.
#[must_use]
pub fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Int(a), Value::Double(b)) => int_double(i128::from(*a), *b),
        (Value::Uint(a), Value::Double(b)) => int_double(i128::from(*a), *b),
        (Value::Double(a), Value::Int(b)) => int_double(i128::from(*b), *a).map(Ordering::reverse),
        (Value::Double(a), Value::Uint(b)) => int_double(i128::from(*b), *a).map(Ordering::reverse),
        (Value::Str(a), Value::Str(b)) => Some((**a).cmp(&**b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some((**a).cmp(&**b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// As upstream, in doubles unless the double is outside of what the integer's type holds.
fn int_double(i: i128, d: f64) -> Option<Ordering> {
    (i as f64).partial_cmp(&d)
}

/// [`order`] for `<` and its kin.
///
/// # Errors
/// That values cannot be compared, in upstream's words.
pub fn compare(a: &Value<'_>, b: &Value<'_>) -> Result<Ordering, Error> {
    let number = |v: &Value<'_>| matches!(v, Value::Int(_) | Value::Uint(_) | Value::Double(_));
    let nan = |v: &Value<'_>| matches!(v, Value::Double(d) if d.is_nan());
    if number(a) && number(b) && (nan(a) || nan(b)) {
        return Err(Error::new("NaN values cannot be ordered"));
    }
    order(a, b).ok_or_else(Error::no_such_overload)
}

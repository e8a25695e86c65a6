//! Quantities of resources.
//! It must never lose what upstream keeps: amounts are exact to the nano.
// k8s: staging/src/k8s.io/apiserver/pkg/cel/library/quantity.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{Opaque, Value};
use meta::quantity::{Format, Quantity};
use std::any::Any;
use std::cmp::Ordering;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "kubernetes.quantity", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "add" "quantity_add" "kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity" => add;
    "add" "quantity_add_int" "kubernetes.Quantity.(int) -> kubernetes.Quantity" => add;
    "asApproximateFloat" "quantity_get_float" "kubernetes.Quantity.() -> double" => float;
    "asInteger" "quantity_get_int" "kubernetes.Quantity.() -> int" => integer;
    "compareTo" "quantity_compare_to" "kubernetes.Quantity.(kubernetes.Quantity) -> int" => compare_to;
    "isGreaterThan" "quantity_is_greater_than" "kubernetes.Quantity.(kubernetes.Quantity) -> bool" => greater;
    "isInteger" "quantity_is_integer" "kubernetes.Quantity.() -> bool" => is_integer;
    "isLessThan" "quantity_is_less_than" "kubernetes.Quantity.(kubernetes.Quantity) -> bool" => less;
    "isQuantity" "is_quantity_string" "(string) -> bool" => is_quantity;
    "quantity" "string_to_quantity" "(string) -> kubernetes.Quantity" => parse;
    "sign" "quantity_sign" "(kubernetes.Quantity) -> int" => sign;
    "sub" "quantity_sub" "kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity" => sub;
    "sub" "quantity_sub_int" "kubernetes.Quantity.(int) -> kubernetes.Quantity" => sub;
};

/// A quantity as a value.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    pub quantity: Quantity,
    /// How far upstream's short form of it is shifted; it has none for some. Only short forms without a fraction
    /// are integers to it.
    scale: Option<i32>,
}

impl Amount {
    fn combine(self, other: Amount, quantity: Quantity) -> Amount {
        let scale = if self.quantity.is_zero() {
            other.scale
        } else if other.quantity.is_zero() {
            self.scale
        } else {
            self.scale.zip(other.scale).map(|(a, b)| a.min(b))
        };
        Amount { quantity, scale }
    }
}

/// The shift of upstream's short form.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go ParseQuantity
fn scale(text: &str) -> Option<i32> {
    let rest = text.trim_start_matches(['+', '-']);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = i32::try_from(whole.trim_start_matches('0').len() + fraction.len()).ok()?;
    if let Some(power) = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|s| *s == suffix) {
        let exponent = 10 * (i32::try_from(power).ok()? + 1);
        return (fraction.is_empty() && 15 - digits - exponent * 3 / 10 > 0).then_some(0);
    }
    let exponent = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        other => other.trim_start_matches(['e', 'E']).parse().ok()?,
    };
    let scale = exponent - i32::try_from(fraction.len()).ok()?;
    (digits <= 18 && scale >= -9).then_some(scale)
}

impl Opaque for Amount {
    fn ty(&self) -> Type {
        Type::object("kubernetes.Quantity")
    }
    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Amount>().is_some_and(|o| o.quantity == self.quantity)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn text<'v>(args: &'v [Value<'_>]) -> Result<&'v str, Error> {
    args.first().and_then(Value::as_str).ok_or_else(Error::no_such_overload)
}

fn amount(args: &[Value<'_>], at: usize) -> Result<Amount, Error> {
    match args.get(at) {
        Some(Value::Int(i)) => {
            Ok(Amount { quantity: Quantity::from_units(*i, Format::DecimalExponent), scale: Some(0) })
        }
        Some(value) => value.downcast::<Amount>().copied().ok_or_else(Error::no_such_overload),
        None => Err(Error::no_such_overload()),
    }
}

fn parse<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let text = text(args)?;
    let quantity = text.parse().map_err(|e: meta::quantity::QuantityError| {
        if is_number_with_suffix(text) {
            Error::new("unable to parse quantity's suffix")
        } else {
            Error::new(e.to_string())
        }
    })?;
    Ok(Value::opaque(Amount { quantity, scale: scale(text) }))
}

/// Whether only the suffix can be what is wrong.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go parseQuantityString
fn is_number_with_suffix(text: &str) -> bool {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let after = after.strip_prefix('.').map_or(after, |f| f.trim_start_matches(|c: char| c.is_ascii_digit()));
    let digits = rest.len() - after.len() > usize::from(rest[..rest.len() - after.len()].contains('.'));
    let after = after.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
    let after = after.strip_prefix(['+', '-']).unwrap_or(after);
    digits && after.bytes().all(|b| b.is_ascii_digit())
}

fn is_quantity<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(text(args)?.parse::<Quantity>().is_ok()))
}

fn sign<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Int(amount(args, 0)?.quantity.sign().into()))
}

fn ordered(args: &[Value<'_>]) -> Result<Ordering, Error> {
    Ok(amount(args, 0)?.quantity.cmp(&amount(args, 1)?.quantity))
}

fn greater<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(ordered(args)?.is_gt()))
}

fn less<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(ordered(args)?.is_lt()))
}

fn compare_to<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Int(ordered(args)? as i64))
}

fn float<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Double(amount(args, 0)?.quantity.as_f64()))
}

/// The whole number that a quantity is, if it is one.
fn whole(a: Amount) -> Option<i64> {
    let units = a.quantity.value();
    let exact = Quantity::from_units(units, a.quantity.format()) == a.quantity;
    (exact && a.scale.is_some_and(|s| s >= 0)).then_some(units)
}

fn integer<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    whole(amount(args, 0)?).map(Value::Int).ok_or_else(|| Error::new("cannot convert value to integer"))
}

fn is_integer<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Bool(whole(amount(args, 0)?).is_some()))
}

fn add<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let (a, b) = (amount(args, 0)?, amount(args, 1)?);
    Ok(Value::opaque(a.combine(b, a.quantity + b.quantity)))
}

fn sub<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let (a, b) = (amount(args, 0)?, amount(args, 1)?);
    Ok(Value::opaque(a.combine(b, a.quantity - b.quantity)))
}

//! Checks of numbers. Limits are floating-point numbers, values are what they were written as: upstream compares
//! integers with limits cut to integers, and so do we.
// k8s: kube-openapi pkg/validation/validate/{validator,values}.go

use super::node::{Node, NodeType};
use crate::Value;

/// What is wrong with a number.
#[derive(Debug, PartialEq)]
pub enum Complaint {
    /// Without path and value; ` in <path>` follows.
    Plain(String),
    /// The text with `{}` for the path, and the value as it is shown.
    Of(String, String),
}

/// Everything wrong with a number, in upstream's order.
pub fn check(value: &Value, node: &Node, format: &str) -> Vec<Complaint> {
    let mut out = Vec::new();
    let range = Range { ty: &node.ty, int_or_string: node.int_or_string, format };
    out.extend(range.complaint(value, "Checked"));
    let Some(checks) = node.checks.as_deref() else { return out };
    if let Some(factor) = checks.multiple_of {
        let misfit = range.complaint(&Value::Float(factor), "MultipleOf");
        let found = multiple_of(value, factor, misfit.is_none());
        out.extend(misfit);
        out.extend(found);
    }
    if let Some(min) = checks.minimum {
        let misfit = range.complaint(&Value::Float(min), "Minimum boundary");
        let found = limit(value, min, checks.exclusive_minimum, misfit.is_none(), false);
        out.extend(misfit);
        out.extend(found);
    }
    if let Some(max) = checks.maximum {
        let misfit = range.complaint(&Value::Float(max), "Maximum boundary");
        let found = limit(value, max, checks.exclusive_maximum, misfit.is_none(), true);
        out.extend(misfit);
        out.extend(found);
    }
    out
}

struct Range<'a> {
    ty: &'a NodeType,
    int_or_string: bool,
    format: &'a str,
}

impl Range<'_> {
    /// What is said of a number that type and format have no room for.
    fn complaint(&self, value: &Value, what: &str) -> Option<Complaint> {
        if self.int_or_string {
            return None;
        }
        let (fits, ty) = match self.ty {
            NodeType::Integer => {
                let int = match value {
                    Value::Int(i) => Some(*i),
                    Value::Float(f) => exact(*f),
                    _ => None,
                };
                let narrow = self.format == "int32";
                (int.is_some_and(|i| !narrow || i32::try_from(i).is_ok()), "integer")
            }
            NodeType::Number if self.format == "float" => ((as_float(value) as f32).is_finite(), "number"),
            _ => return None,
        };
        let format = match self.format {
            "" => "(default format)".to_owned(),
            format => format!("with format {format}"),
        };
        (!fits).then(|| Complaint::Plain(format!("{what} value must be of type {ty} {format}")))
    }
}

/// The integer that a float is written as, if it is one of 64 bits.
fn exact(f: f64) -> Option<i64> {
    // 2^63 is a float, one less is not.
    (f.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&f))
        .then_some(f as i64)
}

fn as_float(value: &Value) -> f64 {
    match value {
        Value::Int(i) => *i as f64,
        Value::Float(f) => *f,
        _ => 0.0,
    }
}

fn multiple_of(value: &Value, factor: f64, native: bool) -> Option<Complaint> {
    if let (Value::Int(i), true) = (value, native) {
        let factor = factor as i64;
        if factor <= 0 {
            return Some(not_positive(&factor.to_string()));
        }
        return (i % factor != 0)
            .then(|| Complaint::Of(format!("{{}} in body should be a multiple of {factor}"), i.to_string()));
    }
    let f = as_float(value);
    if factor <= 0.0 {
        return Some(not_positive(&go_float(factor)));
    }
    let times = if factor < 1.0 { 1.0 / factor * f } else { f / factor };
    (!is_integer(times)).then(|| {
        let text = format!("{{}} in body should be a multiple of {}", go_float(factor));
        Complaint::Of(text, go_float(f))
    })
}

fn not_positive(factor: &str) -> Complaint {
    let text = format!("factor MultipleOf declared for {{}} must be positive: {factor}");
    Complaint::Of(text, factor.to_owned())
}

fn limit(value: &Value, limit: f64, exclusive: bool, native: bool, is_max: bool) -> Option<Complaint> {
    let (order, shown, bound) = if let (Value::Int(i), true) = (value, native) {
        let limit = limit as i64;
        (Some(i.cmp(&limit)), i.to_string(), limit.to_string())
    } else {
        let f = as_float(value);
        (f.partial_cmp(&limit), go_float(f), go_float(limit))
    };
    let order = if is_max { order } else { order.map(std::cmp::Ordering::reverse) };
    let fits = order.is_none_or(|o| if exclusive { o.is_lt() } else { o.is_le() });
    let words = match (is_max, exclusive) {
        (true, false) => "less than or equal to",
        (true, true) => "less than",
        (false, false) => "greater than or equal to",
        (false, true) => "greater than",
    };
    (!fits).then(|| Complaint::Of(format!("{{}} in body should be {words} {bound}"), shown))
}

/// Whether a float may stand for an integer of JSON.
// k8s: go-openapi/swag IsFloat64AJSONInteger
pub fn is_integer(f: f64) -> bool {
    const MAX: f64 = 9_007_199_254_740_991.0;
    if !(-MAX..=MAX).contains(&f) {
        return false;
    }
    let near = if f < 0.0 { 0.0 } else { f.trunc() };
    if f == near || f == f.trunc() {
        return true;
    }
    if f == 0.0 || near == 0.0 {
        return false;
    }
    (f - near).abs() / (f.abs() + near.abs()) < 1e-9
}

/// A float as Go's `%v` prints it.
pub fn go_float(f: f64) -> String {
    let abs = f.abs();
    if abs != 0.0 && !(1e-4..1e21).contains(&abs) {
        let text = format!("{f:e}");
        if let Some((mantissa, exponent)) = text.split_once('e') {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
            return format!("{mantissa}e{sign}{digits:0>2}");
        }
    }
    format!("{f}")
}

/// Whether a value equals an entry of an enum, numbers made to be of the entry's type first.
// k8s: kube-openapi pkg/validation/validate/validator.go basicCommonValidator
pub fn converts_to(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (_, Value::Null) | (Value::Null, _) => false,
        (Value::Int(v), Value::Float(w)) => *v as f64 == *w,
        (Value::Float(v), Value::Int(w)) => *v as i64 == *w,
        (v, w) => v == w,
    }
}

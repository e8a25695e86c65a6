//! `'%s is %d'.format([a, b])`: reading the format, and what each clause makes of its argument.
//! It must never make more text than was paid for.
// k8s: github.com/google/cel-go ext/formatting.go

use crate::error::Error;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{List, Value, convert, number};

/// A place in a format where an argument goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clause {
    String,
    Decimal,
    Fixed(usize),
    Scientific(usize),
    Binary,
    Hex { upper: bool },
    Octal,
}

/// A piece of a format.
pub enum Piece<'f> {
    Text(&'f str),
    Clause(Clause),
}

const DEFAULT_PRECISION: usize = 6;
/// More digits nobody needs, and they cost nothing otherwise.
const MAX_PRECISION: usize = 1000;

/// The pieces of a format; `f` is given each clause before the next is read.
///
/// # Errors
/// What is wrong with the format, or what `f` says.
pub fn pieces<'f>(
    format: &'f str,
    f: &mut dyn FnMut(Piece<'f>) -> Result<(), Error>,
    has_more: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        if at > 0 {
            f(Piece::Text(&rest[..at]))?;
        }
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            f(Piece::Text("%"))?;
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return Err(Error::new("unexpected end of string"));
        }
        has_more()?;
        let (clause, after) =
            clause(rest).map_err(|why| Error::new(format!("could not parse formatting clause: {why}")))?;
        rest = after;
        f(Piece::Clause(clause))?;
    }
    if rest.is_empty() { Ok(()) } else { f(Piece::Text(rest)) }
}

fn clause(text: &str) -> Result<(Clause, &str), String> {
    let (precision, rest) = precision(text).map_err(|why| format!("error while parsing precision: {why}"))?;
    let mut chars = rest.chars();
    let clause = match chars.next() {
        Some('s') => Clause::String,
        Some('d') => Clause::Decimal,
        Some('f') => Clause::Fixed(precision.unwrap_or(DEFAULT_PRECISION)),
        Some('e') => Clause::Scientific(precision.unwrap_or(DEFAULT_PRECISION)),
        Some('b') => Clause::Binary,
        Some('x') => Clause::Hex { upper: false },
        Some('X') => Clause::Hex { upper: true },
        Some('o') => Clause::Octal,
        // As upstream, the first byte as a character.
        _ => {
            let first = char::from(rest.as_bytes().first().copied().unwrap_or(b'%'));
            return Err(format!("unrecognized formatting clause \"{first}\""));
        }
    };
    Ok((clause, chars.as_str()))
}

fn precision(text: &str) -> Result<(Option<usize>, &str), String> {
    let Some(digits) = text.strip_prefix('.') else { return Ok((None, text)) };
    let end =
        digits.find(|c: char| !c.is_ascii_digit()).ok_or("could not find end of precision specifier")?;
    let (digits, rest) = digits.split_at(end);
    let precision: usize = digits.parse().map_err(|_| {
        format!(
            "error while converting precision to integer: strconv.Atoi: parsing {digits:?}: invalid syntax"
        )
    })?;
    if precision > MAX_PRECISION {
        return Err(format!("precision {precision} exceeds maximum allowed precision {MAX_PRECISION}"));
    }
    Ok((Some(precision), rest))
}

/// The format with its arguments.
///
/// # Errors
/// What is wrong with either.
pub fn format<'a>(run: &mut Meter<'_>, text: &str, args: &List<'a>) -> Result<String, Error> {
    let mut out = String::new();
    let mut at = 0;
    let next = std::cell::Cell::new(0);
    pieces(
        text,
        &mut |piece| {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Clause(clause) => {
                    let value = args.get(at).ok_or_else(|| out_of_range(at))?;
                    at += 1;
                    next.set(at);
                    run.allocate(out.len())?;
                    apply(run, clause, &value, &mut out)
                        .map_err(|e| if e.is_cancelled() { e } else { during(&e) })?;
                }
            }
            Ok(())
        },
        &mut || if next.get() < args.len() { Ok(()) } else { Err(out_of_range(next.get())) },
    )?;
    Ok(out)
}

fn out_of_range(at: usize) -> Error {
    Error::new(format!("index {at} out of range"))
}

fn during(e: &Error) -> Error {
    Error::new(format!("error during formatting: {e}"))
}

impl Clause {
    /// That a value of a type cannot be formatted so.
    #[must_use]
    pub fn refuses(self, ty: &str) -> String {
        let what = match self {
            Clause::String => {
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
            }
            Clause::Decimal => "decimal clause can only be used on integers",
            Clause::Fixed(_) => "fixed-point clause can only be used on doubles",
            Clause::Scientific(_) => "scientific clause can only be used on doubles",
            Clause::Binary => "only integers and bools can be formatted as binary",
            Clause::Hex { .. } => "only integers, byte buffers, and strings can be formatted as hex",
            Clause::Octal => "octal clause can only be used on integers",
        };
        format!("{what}, was given {ty}")
    }

    /// Whether values of a type can be formatted so, as far as the type tells.
    #[must_use]
    pub fn takes(self, ty: &Type) -> bool {
        match (self, ty) {
            (_, Type::Dyn) | (_, Type::Int | Type::Uint)
                if !matches!(self, Clause::Fixed(_) | Clause::Scientific(_)) =>
            {
                true
            }
            (_, Type::Dyn) => true,
            (Clause::String, Type::Object(_) | Type::Opaque(..) | Type::Param(_) | Type::Error) => false,
            (Clause::String, _) => true,
            (Clause::Fixed(_) | Clause::Scientific(_), Type::Double | Type::String) => true,
            (Clause::Binary, Type::Bool) => true,
            (Clause::Hex { .. }, Type::String | Type::Bytes) => true,
            _ => false,
        }
    }
}

fn apply<'a>(run: &mut Meter<'_>, clause: Clause, value: &Value<'a>, out: &mut String) -> Result<(), Error> {
    let refused = || Error::new(clause.refuses(&value.type_name()));
    match (clause, value) {
        (Clause::String, _) => return string(run, value, out),
        (Clause::Decimal, Value::Int(_) | Value::Uint(_)) => out.push_str(&value.to_string()),
        (Clause::Fixed(precision), _) => out.push_str(&fixed(double(value).ok_or_else(refused)?, precision)),
        (Clause::Scientific(precision), _) => {
            out.push_str(&scientific(double(value).ok_or_else(refused)?, precision));
        }
        (Clause::Binary, Value::Bool(b)) => out.push(if *b { '1' } else { '0' }),
        (Clause::Binary | Clause::Octal | Clause::Hex { .. }, Value::Int(i)) => {
            if *i < 0 {
                out.push('-');
            }
            out.push_str(&radix(clause, i.unsigned_abs()));
        }
        (Clause::Binary | Clause::Octal | Clause::Hex { .. }, Value::Uint(u)) => {
            out.push_str(&radix(clause, *u))
        }
        (Clause::Hex { upper }, Value::Str(s)) => hex(s.as_bytes(), upper, out),
        (Clause::Hex { upper }, Value::Bytes(b)) => hex(b, upper, out),
        _ => return Err(refused()),
    }
    Ok(())
}

fn radix(clause: Clause, n: u64) -> String {
    match clause {
        Clause::Binary => format!("{n:b}"),
        Clause::Octal => format!("{n:o}"),
        Clause::Hex { upper: true } => format!("{n:X}"),
        _ => format!("{n:x}"),
    }
}

fn hex(bytes: &[u8], upper: bool, out: &mut String) {
    for b in bytes {
        out.push_str(&if upper { format!("{b:02X}") } else { format!("{b:02x}") });
    }
}

/// A double, or one of the words that stand for those that are no numbers.
fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(d) => Some(*d),
        Value::Str(s) => match &**s {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn special(d: f64) -> Option<&'static str> {
    if d.is_nan() {
        Some("NaN")
    } else if d.is_infinite() {
        Some(if d > 0.0 { "∞" } else { "-∞" })
    } else {
        None
    }
}

/// With thousands apart, as upstream's printer for English has them.
fn fixed(d: f64, precision: usize) -> String {
    if let Some(special) = special(d) {
        return special.to_owned();
    }
    let plain = format!("{d:.precision$}");
    let (sign, digits) = plain.strip_prefix('-').map_or(("", &*plain), |d| ("-", d));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let mut out = sign.to_owned();
    for (at, c) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// `1.500000×10⁰³`. As upstream has it, the precision is how wide the text is at least.
fn scientific(d: f64, width: usize) -> String {
    let text = special(d).map_or_else(|| exponential(d), str::to_owned);
    format!("{text:>width$}")
}

fn exponential(d: f64) -> String {
    let text = format!("{d:.DEFAULT_PRECISION$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut out = format!("{mantissa}×10");
    if exponent < 0 {
        out.push('⁻');
    }
    for c in format!("{:02}", exponent.abs()).chars() {
        let at = c.to_digit(10).unwrap_or(0) as usize;
        out.push(['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][at]);
    }
    out
}

fn string<'a>(run: &mut Meter<'_>, value: &Value<'a>, out: &mut String) -> Result<(), Error> {
    match value {
        Value::List(list) => list_text(run, list, out),
        Value::Map(map) => {
            let mut pairs = Vec::with_capacity(map.len());
            for (key, value) in map.iter() {
                let mut k = String::new();
                match key {
                    Value::Str(_) | Value::Bool(_) | Value::Int(_) | Value::Uint(_) => {
                        member(run, &key, &mut k)?;
                    }
                    other => {
                        let ty = other.type_name();
                        return Err(Error::new(format!("no formatting function for map key of type {ty}")));
                    }
                }
                let mut v = String::new();
                member(run, &value, &mut v)?;
                run.allocate(k.len() + v.len())?;
                pairs.push((k, v));
            }
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            let pairs: Vec<_> = pairs.into_iter().map(|(k, v)| format!("{k}:{v}")).collect();
            out.push('{');
            out.push_str(&pairs.join(", "));
            out.push('}');
            Ok(())
        }
        Value::Null => {
            out.push_str("null");
            Ok(())
        }
        Value::Object(_) | Value::Optional(_) | Value::Opaque(_) => {
            Err(Error::new(Clause::String.refuses(&value.type_name())))
        }
        _ => {
            let text = convert(value, &Type::String)?;
            run.allocate(out.len() + text.as_str().map_or(0, str::len))?;
            out.push_str(text.as_str().unwrap_or(""));
            Ok(())
        }
    }
}

fn list_text<'a>(run: &mut Meter<'_>, list: &List<'a>, out: &mut String) -> Result<(), Error> {
    out.push('[');
    for (at, value) in list.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        run.step()?;
        member(run, &value, out)?;
    }
    out.push(']');
    Ok(())
}

/// A value within a list or map.
fn member<'a>(run: &mut Meter<'_>, value: &Value<'a>, out: &mut String) -> Result<(), Error> {
    match value {
        Value::Str(s) => out.push_str(&quoted(s)),
        Value::Bytes(_) => {
            let text = convert(value, &Type::String)?;
            out.push('b');
            out.push_str(&quoted(text.as_str().unwrap_or("")));
        }
        Value::Timestamp(t) => out.push_str(&format!("timestamp(\"{t}\")")),
        Value::Duration(d) => out.push_str(&format!("duration(\"{d}\")")),
        Value::Double(d) if !d.is_finite() => out.push_str(&quoted(&number::shortest(*d))),
        Value::Double(d) => out.push_str(&format!("{d:.DEFAULT_PRECISION$}")),
        Value::Object(_) | Value::Optional(_) | Value::Opaque(_) => {
            return Err(Error::new(format!("no formatting function for {}", value.type_name())));
        }
        _ => return string(run, value, out),
    }
    Ok(())
}

/// As Go's `%q`.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

//! Quantities of resources: `100m`, `1.5Gi`, `2e3`. Exact to the nano, canonical as upstream prints them.
//! It must never overflow or panic: sums saturate at what upstream can hold.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;
/// The largest amount: 2^63-1 units.
const MAX: i128 = i64::MAX as i128 * NANO;

/// How a quantity is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Powers of 1024: `Ki`, `Mi`, ...
    BinarySi,
    /// Powers of 1000: `m`, `k`, `M`, ...
    #[default]
    DecimalSi,
    /// `e3`.
    DecimalExponent,
}

/// An amount and the format it was written in. Equality and order are those of the amount.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct QuantityError;

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// So many whole units.
    #[must_use]
    pub const fn from_units(units: i64, format: Format) -> Self {
        Quantity { nanos: units as i128 * NANO, format }
    }

    /// So many thousandths.
    #[must_use]
    pub const fn from_milli(milli: i64, format: Format) -> Self {
        Quantity { nanos: milli as i128 * (NANO / 1000), format }
    }

    #[must_use]
    pub const fn format(self) -> Format {
        self.format
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// -1, 0 or 1.
    #[must_use]
    pub const fn sign(self) -> i32 {
        self.nanos.signum() as i32
    }

    /// Whole units, rounded away from zero.
    #[must_use]
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }

    /// Thousandths, rounded away from zero; saturates.
    #[must_use]
    pub fn milli_value(self) -> i64 {
        self.scaled(NANO / 1000)
    }

    /// Units as floating point.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    fn scaled(self, by: i128) -> i64 {
        let v = div_away(self.nanos, by);
        i64::try_from(v).unwrap_or(if v < 0 { i64::MIN } else { i64::MAX })
    }

    /// Canonical form of quantity text; borrowed when it is canonical already and plain.
    ///
    /// # Errors
    /// When the text is no quantity.
    pub fn canonical(text: &str) -> Result<Cow<'_, str>, QuantityError> {
        if is_plainly_canonical(text) {
            return Ok(Cow::Borrowed(text));
        }
        Ok(Cow::Owned(text.parse::<Quantity>()?.to_string()))
    }
}

/// One to three digits without leading zero and a common suffix need no work.
fn is_plainly_canonical(text: &str) -> bool {
    let b = text.as_bytes();
    let digits = b.iter().take_while(|c| c.is_ascii_digit()).count();
    (1..=3).contains(&digits)
        && b[0] != b'0'
        && matches!(&b[digits..], b"" | b"m" | b"Mi" | b"Gi" | b"Ki" | b"Ti" | b"k" | b"M" | b"G" | b"T")
}

fn div_away(a: i128, b: i128) -> i128 {
    let q = a / b;
    if a % b == 0 { q } else { q + a.signum() }
}

fn cap(nanos: i128) -> i128 {
    nanos.clamp(-MAX, MAX)
}

impl std::ops::Add for Quantity {
    type Output = Quantity;
    /// Takes the other's format when this one is zero, as upstream.
    fn add(self, other: Quantity) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        Quantity { nanos: cap(self.nanos + other.nanos), format }
    }
}

impl std::ops::Sub for Quantity {
    type Output = Quantity;
    fn sub(self, other: Quantity) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        Quantity { nanos: cap(self.nanos - other.nanos), format }
    }
}

impl std::ops::Neg for Quantity {
    type Output = Quantity;
    fn neg(self) -> Quantity {
        Quantity { nanos: -self.nanos, format: self.format }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// What a suffix multiplies by.
enum Factor {
    Ten(i32),
    Two(u32),
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError);
        }
        let (factor, mut format) = parse_suffix(suffix)?;
        let nanos = cap(amount(whole, fraction, &factor));
        if format == Format::BinarySi && nanos > 0 && nanos < NANO {
            format = Format::DecimalSi;
        }
        Ok(Quantity { nanos: if negative { -nanos } else { nanos }, format })
    }
}

fn parse_suffix(suffix: &str) -> Result<(Factor, Format), QuantityError> {
    if let Some((_, exp)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Ok((Factor::Ten(*exp), Format::DecimalSi));
    }
    if let Some((_, exp)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Ok((Factor::Two(*exp), Format::BinarySi));
    }
    let exp = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError)?;
    let digits = exp.strip_prefix(['+', '-']).unwrap_or(exp);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(QuantityError);
    }
    let exp: i64 = exp.parse().map_err(|_| QuantityError)?;
    Ok((Factor::Ten(exp.clamp(-1000, 1000) as i32), Format::DecimalExponent))
}

/// The amount in nanos, rounded up where it is finer, saturating above [`MAX`].
fn amount(whole: &str, fraction: &str, factor: &Factor) -> i128 {
    let exp = match factor {
        Factor::Ten(e) => *e,
        Factor::Two(_) => 0,
    };
    // The value is digits * 10^shift nanos.
    let shift = exp + 9 - i32::try_from(fraction.len()).unwrap_or(i32::MAX - 1100).min(i32::MAX - 1100);
    let digits = || whole.bytes().chain(fraction.bytes()).map(|c| i128::from(c - b'0'));
    let count = i32::try_from(whole.len() + fraction.len()).unwrap_or(i32::MAX);
    // Digits below a nano are only looked at for rounding.
    let keep = count.saturating_add(shift.min(0));
    let mut value: i128 = 0;
    let mut rest = false;
    for (at, d) in (0i32..).zip(digits()) {
        if at < keep {
            value = value.saturating_mul(10).saturating_add(d);
        } else {
            rest |= d != 0;
        }
        if value > MAX {
            return MAX;
        }
    }
    for _ in 0..shift.max(0) {
        value = value.saturating_mul(10);
        if value == 0 || value > MAX {
            break;
        }
    }
    if let Factor::Two(bits) = factor {
        value = value.saturating_mul(1i128 << bits);
    }
    value.saturating_add(i128::from(rest))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO || self.nanos % NANO != 0;
        if self.format == Format::BinarySi && !small {
            return write_binary(self.nanos / NANO, f);
        }
        let mut mantissa = self.nanos;
        let mut exp = -9i32;
        while mantissa % 1000 == 0 {
            mantissa /= 1000;
            exp += 3;
        }
        if self.format == Format::DecimalExponent {
            return if exp == 0 { write!(f, "{mantissa}") } else { write!(f, "{mantissa}e{exp}") };
        }
        while exp > 18 {
            mantissa *= 1000;
            exp -= 3;
        }
        let suffix = DECIMAL.iter().find(|(_, e)| *e == exp).map_or("", |(s, _)| s);
        write!(f, "{mantissa}{suffix}")
    }
}

fn write_binary(mut units: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut at = 0;
    while units % 1024 == 0 && at < BINARY.len() {
        units /= 1024;
        at += 1;
    }
    let suffix = if at == 0 { "" } else { BINARY[at - 1].0 };
    write!(f, "{units}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        let cases = [
            ("0", "0"),
            ("0Ki", "0"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1.5", "1500m"),
            ("0.1", "100m"),
            ("1000", "1k"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1536Ki", "1536Ki"),
            ("2e3", "2e3"),
            ("1e1", "10"),
            ("0.0000000001", "1n"),
            ("-1000m", "-1"),
            ("+5", "5"),
            ("007", "7"),
            (".5", "500m"),
            ("5.", "5"),
            ("9E", "9E"),
            ("99E", "9223372036854775807"),
            ("12345678901234567890123", "9223372036854775807"),
            ("1Ei", "1Ei"),
            ("1000k", "1M"),
            ("0.1Mi", "104857600m"),
            ("1e-3", "1e-3"),
        ];
        for (text, want) in cases {
            assert_eq!(Quantity::canonical(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn not_quantities() {
        for text in ["", "+", ".", "1x", "1 ", "m", "1.2.3", "1ki", "1e", "1e+", "0x10", "é", "1KiB"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic() {
        let q = |t: &str| t.parse::<Quantity>().expect("a quantity");
        assert_eq!((q("100m") + q("0.9")).to_string(), "1");
        assert_eq!((q("1Gi") - q("512Mi")).to_string(), "512Mi");
        assert_eq!((q("9E") + q("9E")).value(), i64::MAX);
        assert_eq!((q("0") + q("1Ki")).to_string(), "1Ki");
        assert_eq!((q("1001m").value(), q("1u").milli_value(), q("-1001m").value()), (2, 1, -2));
        assert!(q("1000m") == q("1") && q("1Ki") > q("1k"));
    }
}

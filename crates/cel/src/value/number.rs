//! Numbers as upstream's language prints, reads and converts them.
//! It must never lose digits where it says that a conversion is exact.

/// With as many digits as tell the number from its neighbours, and an exponent below 1e-4 and from 1e6 on.
// k8s: Go's fmt, verb %g without a precision
#[must_use]
pub fn shortest(d: f64) -> String {
    digits(d, 6)
}

/// As messages show numbers: with an exponent from 1e21 on.
// k8s: Go's fmt, verb %v
#[must_use]
pub fn shown(d: f64) -> String {
    digits(d, 21)
}

fn digits(d: f64, from: i32) -> String {
    if d.is_nan() {
        return "NaN".to_owned();
    }
    if d.is_infinite() {
        return if d > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{d:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if d != 0.0 && !(-4..from).contains(&exponent) {
        return format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    format!("{d}")
}

/// The int that a double is exactly.
#[must_use]
pub fn exact_int(d: f64) -> Option<i64> {
    let i = to_int(d)?;
    (i as f64 == d).then_some(i)
}

/// The uint that a double is exactly.
#[must_use]
pub fn exact_uint(d: f64) -> Option<u64> {
    let u = to_uint(d)?;
    (u as f64 == d).then_some(u)
}

const TWO_63: f64 = 9_223_372_036_854_775_808.0;

/// A double without its fraction as an int.
// k8s: github.com/google/cel-go common/types/overflow.go doubleToInt64Checked
#[must_use]
pub fn to_int(d: f64) -> Option<i64> {
    (d > -TWO_63 && d < TWO_63).then_some(d as i64)
}

/// A double without its fraction as a uint.
// k8s: github.com/google/cel-go common/types/overflow.go doubleToUint64Checked
#[must_use]
pub fn to_uint(d: f64) -> Option<u64> {
    (0.0..2.0 * TWO_63).contains(&d).then_some(d as u64)
}

/// Text as a double.
// k8s: Go's strconv.ParseFloat
#[must_use]
pub fn parse_double(text: &str) -> Option<f64> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let word = ["inf", "infinity", "nan"].iter().any(|w| bare.eq_ignore_ascii_case(w));
    if bare.eq_ignore_ascii_case("nan") && bare != text {
        return None;
    }
    let d: f64 = text.parse().ok()?;
    (word || d.is_finite()).then_some(d)
}

/// Text as an int, with `+` or `-`.
#[must_use]
pub fn parse_int(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Text as a uint, digits only.
#[must_use]
pub fn parse_uint(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

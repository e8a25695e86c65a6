//! Numbers out of quantities, as far as a node needs them. Parsing never panics; what cannot be read is `None`.
// k8s: staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Thousandths, rounded up: `100m` → 100, `2` → 2000.
#[must_use]
pub fn milli(q: &Quantity) -> Option<i64> {
    parse(&q.0, 1000)
}

/// Whole units, rounded up: `1Ki` → 1024, `1500m` → 2.
#[must_use]
pub fn value(q: &Quantity) -> Option<i64> {
    parse(&q.0, 1)
}

/// `text` times `scale`, rounded up, held to the range of `i64`.
#[must_use]
pub fn parse(text: &str, scale: i128) -> Option<i64> {
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (negative, digits) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || whole.len() > 18 || fraction.len() > 9 {
        return None;
    }
    let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let mut denominator = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let mut numerator = mantissa.checked_mul(scale)?;
    let (mul, div) = suffix_factor(suffix)?;
    numerator = numerator.checked_mul(mul)?;
    denominator = denominator.checked_mul(div)?;
    let mut out = numerator.checked_add(denominator - 1)?.checked_div(denominator)?;
    if negative {
        out = -(numerator / denominator);
    }
    Some(i64::try_from(out).unwrap_or(if negative { i64::MIN } else { i64::MAX }))
}

fn suffix_factor(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10i128.checked_pow(exponent.unsigned_abs().min(30))?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        let cases = [
            ("100m", 1000, Some(100)),
            ("2", 1000, Some(2000)),
            ("0.5", 1000, Some(500)),
            ("1500m", 1, Some(2)),
            ("1Ki", 1, Some(1024)),
            ("64Mi", 1, Some(64 << 20)),
            ("1e3", 1, Some(1000)),
            ("1E", 1, Some(1_000_000_000_000_000_000)),
            ("100Ei", 1, Some(i64::MAX)),
            (".5Gi", 1, Some(512 << 20)),
            ("-1", 1, Some(-1)),
            ("", 1, None),
            ("x", 1, None),
            ("1X", 1, None),
            ("1e99999999999", 1, None),
        ];
        for (text, scale, want) in cases {
            assert_eq!(parse(text, scale), want, "{text}");
        }
    }
}

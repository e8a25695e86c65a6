//! Scalars with a text form of their own: times, durations, base64. Canonical text in, canonical text out.
//! It must never read a clock.

use std::fmt::Write as _;

use jiff::Timestamp;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const TIME_LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
const MICRO_LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";
/// Go's zero time, which means absence.
const ZERO_TIME_SECONDS: i64 = -62_135_596_800;
/// The last second of the year 9999 that is safe in every time zone.
const LAST_SECOND: i64 = 253_402_207_200;

/// `2024-05-06T07:08:09Z`: what needs no work.
fn is_canonical_time(b: &[u8]) -> bool {
    b.len() == 20 && b[19] == b'Z' && has_date_shape(b) && !b.starts_with(b"0001-01-01") && in_range(b)
}

fn has_date_shape(b: &[u8]) -> bool {
    b.len() >= 19
        && b[..19].iter().enumerate().all(|(i, c)| match i {
            4 | 7 => *c == b'-',
            10 => *c == b'T',
            13 | 16 => *c == b':',
            _ => c.is_ascii_digit(),
        })
}

/// Ranges that hold for every month; the 29th to 31st take the slow way.
fn in_range(b: &[u8]) -> bool {
    let two = |at: usize| (b[at] - b'0') * 10 + (b[at + 1] - b'0');
    (1..=12).contains(&two(5)) && (1..=28).contains(&two(8)) && two(11) < 24 && two(14) < 60 && two(17) < 60
}

/// Canonical whole-second text of an RFC 3339 time; `None` for Go's zero time.
///
/// # Errors
/// Go's message when the text is no time.
pub fn canonical_time(text: &str) -> Result<Option<Box<str>>, String> {
    if is_canonical_time(text.as_bytes()) {
        return Ok(Some(text.into()));
    }
    let t = parse_time(text, TIME_LAYOUT)?;
    Ok(format_time(t.as_second()))
}

/// Canonical microsecond text; `None` for Go's zero time.
///
/// # Errors
/// Go's message when the text is no time with exactly six decimals.
pub fn canonical_micro_time(text: &str) -> Result<Option<Box<str>>, String> {
    let b = text.as_bytes();
    let six = has_date_shape(b)
        && b.len() > 26
        && b[19] == b'.'
        && b[20..26].iter().all(u8::is_ascii_digit)
        && !b[26].is_ascii_digit();
    if !six {
        let rest = if has_date_shape(b) { &text[19..] } else { text };
        let want = if has_date_shape(b) { ".000000" } else { "2006" };
        return Err(cannot_parse(text, MICRO_LAYOUT, rest, want));
    }
    let t = parse_time(text, MICRO_LAYOUT)?;
    Ok(format_micro_time(t.as_second(), t.subsec_nanosecond()))
}

fn cannot_parse(text: &str, layout: &str, rest: &str, want: &str) -> String {
    format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {want:?}")
}

fn parse_time(text: &str, layout: &str) -> Result<Timestamp, String> {
    let b = text.as_bytes();
    if !has_date_shape(b) {
        return Err(cannot_parse(text, layout, text, "2006"));
    }
    let zone = text.get(19..).unwrap_or("").trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let zb = zone.as_bytes();
    let offset = zb.len() == 6 && matches!(zb[0], b'+' | b'-') && zb[3] == b':';
    if zone != "Z" && !offset {
        return Err(cannot_parse(text, layout, zone, "Z07:00"));
    }
    text.parse().map_err(|_| format!("parsing time {text:?}: day out of range"))
}

/// Seconds since the epoch as RFC 3339; `None` for Go's zero time or out of range.
#[must_use]
pub fn format_time(seconds: i64) -> Option<Box<str>> {
    let mut out = date(seconds)?;
    out.push('Z');
    Some(out.into())
}

/// Seconds and nanoseconds as RFC 3339 with microseconds, truncated.
#[must_use]
pub fn format_micro_time(seconds: i64, nanos: i32) -> Option<Box<str>> {
    if nanos == 0 && seconds == ZERO_TIME_SECONDS {
        return None;
    }
    let t = Timestamp::new(seconds, nanos).ok()?;
    let (seconds, nanos) =
        (t.as_nanosecond().div_euclid(1_000_000_000), t.as_nanosecond().rem_euclid(1_000_000_000));
    let mut out = date(i64::try_from(seconds).ok()?)?;
    write!(out, ".{:06}Z", nanos / 1000).ok()?;
    Some(out.into())
}

fn date(seconds: i64) -> Option<String> {
    // Four digits of year are all that the format has.
    if seconds <= ZERO_TIME_SECONDS || seconds > LAST_SECOND {
        return None;
    }
    let t = Timestamp::from_second(seconds).ok()?;
    Some(t.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

/// Seconds and nanoseconds of RFC 3339 text.
#[must_use]
pub fn time_parts(text: &str) -> Option<(i64, i32)> {
    let t: Timestamp = text.parse().ok()?;
    let nanos = t.as_nanosecond();
    let nano = i32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    Some((i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?, nano))
}

/// Checks standard base64 with padding; new lines are allowed and removed, as Go does.
///
/// # Errors
/// Go's message with the place of the first wrong byte.
pub fn canonical_base64(text: &str) -> Result<Box<str>, String> {
    if text.contains(['\r', '\n']) {
        let clean: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        return canonical_base64(&clean);
    }
    let b = text.as_bytes();
    // "==" alone has no body and fails the length check below.
    let pad = b.iter().rev().take(2).take_while(|c| **c == b'=').count();
    let body = &b[..b.len() - pad];
    let wrong = body.iter().position(|c| !(c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/')));
    if let Some(at) = wrong {
        return Err(format!("illegal base64 data at input byte {at}"));
    }
    if !b.len().is_multiple_of(4) {
        return Err(format!("illegal base64 data at input byte {}", b.len() - b.len() % 4));
    }
    // Bits beyond the last byte are dropped, so that equal bytes have equal text.
    let spare = match pad {
        1 => 0b11,
        2 => 0b1111,
        _ => return Ok(text.into()),
    };
    let last = body.last().and_then(|c| sextet(*c)).unwrap_or(0);
    if last & spare == 0 {
        return Ok(text.into());
    }
    Ok(encode_base64(&decode_base64(text).unwrap_or_default()).into())
}

fn sextet(c: u8) -> Option<u8> {
    match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// The bytes of standard base64; `None` when it is not.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(body.len() * 3 / 4);
    for chunk in body.chunks(4) {
        let mut bits = 0u32;
        for c in chunk {
            bits = bits << 6 | u32::from(sextet(*c)?);
        }
        bits <<= 6 * (4 - chunk.len());
        let bytes = bits.to_be_bytes();
        out.extend_from_slice(&bytes[1..chunk.len().max(1)]);
    }
    Some(out)
}

/// Standard base64 with padding.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut bits = 0u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            if at <= chunk.len() {
                out.push(char::from(BASE64[(bits >> (18 - 6 * at)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

pub use meta::duration::parse as parse_duration;

/// Go duration text.
#[must_use]
pub fn format_duration(nanos: i64) -> String {
    let abs = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if abs == 0 {
        return "0s".to_owned();
    }
    for (limit, by, unit) in [(1_000, 1, "ns"), (1_000_000, 1_000, "µs"), (1_000_000_000, 1_000_000, "ms")] {
        if abs < limit {
            return format!("{sign}{}{unit}", decimal(abs, by));
        }
    }
    let (minutes, seconds) = (abs / 60_000_000_000, decimal(abs % 60_000_000_000, 1_000_000_000));
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

/// `value / by` without trailing zeros.
fn decimal(value: u64, by: u64) -> String {
    let (whole, fraction) = (value / by, value % by);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = by.ilog10() as usize;
    let fraction = format!("{fraction:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let cases = [
            ("2024-05-06T07:08:09Z", Some("2024-05-06T07:08:09Z")),
            ("2024-05-06T09:08:09.5+02:00", Some("2024-05-06T07:08:09Z")),
            ("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00Z")),
            ("0001-01-01T00:00:00Z", None),
        ];
        for (text, want) in cases {
            assert_eq!(canonical_time(text).expect(text).as_deref(), want, "{text}");
        }
        for text in
            ["", "x", "2024-05-06", "2024-13-06T07:08:09Z", "2023-02-29T00:00:00Z", "2024-05-06T07:08:09"]
        {
            assert!(canonical_time(text).is_err(), "{text}");
        }
        assert_eq!(
            canonical_micro_time("2024-05-06T07:08:09.123456Z").expect("a time").as_deref(),
            Some("2024-05-06T07:08:09.123456Z")
        );
        assert!(canonical_micro_time("2024-05-06T07:08:09Z").is_err());
    }

    #[test]
    fn base64() {
        for bytes in [&b""[..], b"a", b"ab", b"abc", b"abcd", &[255, 254, 0]] {
            let text = encode_base64(bytes);
            assert_eq!(decode_base64(&text).as_deref(), Some(bytes));
            assert_eq!(canonical_base64(&text).as_deref(), Ok(text.as_str()));
        }
        assert_eq!(canonical_base64("YR==").as_deref(), Ok("YQ=="));
        assert_eq!(canonical_base64("YQ").expect_err("short"), "illegal base64 data at input byte 0");
        assert_eq!(canonical_base64("YQ$=").expect_err("wrong"), "illegal base64 data at input byte 2");
    }

    #[test]
    fn durations() {
        for (text, want) in
            [("1h30m", "1h30m0s"), ("90s", "1m30s"), ("1.5s", "1.5s"), ("10ms", "10ms"), ("0", "0s")]
        {
            assert_eq!(parse_duration(text).map(format_duration).as_deref(), Ok(want), "{text}");
        }
        for text in ["", "1", "h", "1x", "1..5s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}

//! Formats of strings that schemas may ask for, each as upstream's validators have them, leniency included.
// k8s: kube-openapi pkg/validation/strfmt, apiextensions-apiserver pkg/apiserver/validation/formats.go

use std::net::Ipv6Addr;
use std::sync::LazyLock;

use meta::{duration, name};
use regex::Regex;

use super::format_net::{email, mac, uri};

/// The check of a format.
type Check = fn(&str) -> bool;

/// Formats by name without hyphens.
const FORMATS: &[(&str, Check)] = &[
    ("bsonobjectid", |s| s.len() == 24 && s.bytes().all(|b| b.is_ascii_hexdigit())),
    ("byte", base64),
    ("cidr", cidr),
    ("creditcard", credit_card),
    ("date", date),
    ("datetime", date_time),
    ("duration", is_duration),
    ("email", email),
    ("hexcolor", hex_color),
    ("hostname", hostname),
    ("ipv4", |s| s.contains('.') && (ipv4_sloppy(s) || ipv6_sloppy(s))),
    ("ipv6", |s| s.parse::<Ipv6Addr>().is_ok()),
    ("isbn", |s| isbn10(s) || isbn13(s)),
    ("isbn10", isbn10),
    ("isbn13", isbn13),
    ("k8slongname", |s| name::dns1123_subdomain(s).is_empty()),
    ("k8sshortname", |s| name::dns1123_label(s).is_empty()),
    ("mac", mac),
    ("password", |_| true),
    ("rgbcolor", rgb_color),
    ("ssn", ssn),
    ("uri", uri),
    ("uuid", |s| uuid(s, None, false)),
    ("uuid3", |s| uuid(s, Some(b'3'), false)),
    ("uuid4", |s| uuid(s, Some(b'4'), true)),
    ("uuid5", |s| uuid(s, Some(b'5'), true)),
];

fn find(format: &str) -> Option<Check> {
    let plain: String = format.chars().filter(|c| *c != '-').collect();
    let at = FORMATS.binary_search_by(|(name, _)| (*name).cmp(&plain)).ok()?;
    Some(FORMATS[at].1)
}

/// Whether strings are checked against the format.
pub fn is_known(format: &str) -> bool {
    !format.is_empty() && find(format).is_some()
}

/// Whether `s` is of the format; `None` when no such format is known.
pub fn check(format: &str, s: &str) -> Option<bool> {
    if format.is_empty() { None } else { find(format).map(|check| check(s)) }
}

/// Standard base64 with padding, of a byte at least.
fn base64(s: &str) -> bool {
    let plain = s.strip_suffix("==").or_else(|| s.strip_suffix('=')).unwrap_or(s);
    let letters = plain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    !plain.is_empty() && s.len().is_multiple_of(4) && letters
}

fn digits(s: &str) -> bool {
    s.bytes().all(|b| b.is_ascii_digit())
}

/// Four numbers up to 255, leading zeros allowed.
fn ipv4_sloppy(s: &str) -> bool {
    let mut parts = 0;
    let fits = s.split('.').all(|p| {
        parts += 1;
        let short = p.trim_start_matches('0');
        !p.is_empty() && digits(p) && short.len() <= 3 && short.parse::<u16>().unwrap_or(0) <= 255
    });
    fits && parts == 4
}

/// An address of version 6 whose last part may be one of version 4 with leading zeros.
fn ipv6_sloppy(s: &str) -> bool {
    match s.rsplit_once(':') {
        Some((head, tail)) if tail.contains('.') => {
            ipv4_sloppy(tail) && format!("{head}:1.2.3.4").parse::<Ipv6Addr>().is_ok()
        }
        _ => s.parse::<Ipv6Addr>().is_ok(),
    }
}

fn cidr(s: &str) -> bool {
    let Some((address, bits)) = s.split_once('/') else { return false };
    let max = if ipv4_sloppy(address) {
        32
    } else if ipv6_sloppy(address) {
        128
    } else {
        return false;
    };
    let short = bits.trim_start_matches('0');
    !bits.is_empty() && digits(bits) && short.len() <= 3 && short.parse::<u16>().unwrap_or(0) <= max
}

/// Groups of 8, 4, 4, 4 and 12 digits, hyphens between them or not.
fn uuid(s: &str, version: Option<u8>, variant: bool) -> bool {
    let b = s.as_bytes();
    let mut at = 0;
    for (i, len) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if i > 0 && b.get(at) == Some(&b'-') {
            at += 1;
        }
        let Some(group) = b.get(at..at + len) else { return false };
        let first = group[0].to_ascii_lowercase();
        if !group.iter().all(u8::is_ascii_hexdigit)
            || (i == 2 && version.is_some_and(|v| v != first))
            || (i == 3 && variant && !b"89ab".contains(&first))
        {
            return false;
        }
        at += len;
    }
    at == b.len()
}

fn date(s: &str) -> bool {
    let mut parts = s.split('-');
    let (Some(y), Some(m), Some(d), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    if (y.len(), m.len(), d.len()) != (4, 2, 2) || !digits(y) || !digits(m) || !digits(d) {
        return false;
    }
    let (Ok(y), Ok(m), Ok(d)) = (y.parse(), m.parse(), d.parse()) else { return false };
    jiff::civil::Date::new(y, m, d).is_ok()
}

/// Date and time with a zone. Hours, minutes and seconds are compared as text, and what follows a second `T` is not
/// looked at.
fn date_time(s: &str) -> bool {
    static TIME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(?:.[0-9]+)?(?:z|[+-][0-9]{2}:[0-9]{2})$")
            .expect("the pattern is well-formed")
    });
    let lower = s.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(day), Some(time)) = (parts.next(), parts.next()) else { return false };
    let Some(found) = TIME.captures(time).filter(|_| date(day)) else { return false };
    &found[1] <= "23" && &found[2] <= "59" && &found[3] <= "59"
}

/// A duration of Go, or numbers with units of words, of which one must be known.
// k8s: kube-openapi pkg/validation/strfmt/duration.go ParseDuration
fn is_duration(s: &str) -> bool {
    static PART: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"([0-9]+)[\t\n\f\r ]*([A-Za-zµ]+)").expect("the pattern is well-formed")
    });
    const UNITS: [&[&str]; 8] = [
        &["ns", "nano"],
        &["us", "µs", "micro"],
        &["ms", "milli"],
        &["s", "sec"],
        &["m", "min"],
        &["h", "hr", "hour"],
        &["d", "day"],
        &["w", "wk", "week"],
    ];
    if duration::parse(s).is_ok() {
        return true;
    }
    let mut known = false;
    for part in PART.captures_iter(s) {
        if part[1].parse::<i64>().is_err() {
            return false;
        }
        let unit = part[2].to_lowercase();
        known |= UNITS.iter().any(|names| {
            names.contains(&unit.as_str()) || names.last().is_some_and(|last| unit.starts_with(last))
        });
    }
    known
}

/// Letters and symbols of any script, which Unicode's tables tell.
fn host_chars(s: &str) -> bool {
    static CHARS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[a-zA-Z0-9\p{S}\p{L}]*$").expect("the pattern is well-formed"));
    CHARS.is_match(s)
}

// k8s: kube-openapi pkg/validation/strfmt/default.go HostnamePattern, IsHostname
fn hostname(s: &str) -> bool {
    static LETTERS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[a-zA-Z\p{L}]*$").expect("the pattern is well-formed"));
    if s.len() > 255 || s.split('.').any(|label| label.len() > 63) {
        return false;
    }
    let Some((head, top)) = s.rsplit_once('.') else {
        // One label: at most one hyphen, in the second place.
        let Some(first) = s.chars().next() else { return false };
        let (first, rest) = s.split_at(first.len_utf8());
        return host_chars(first) && host_chars(rest.strip_prefix('-').unwrap_or(rest));
    };
    let label = |l: &str| {
        let ends = !l.is_empty() && !l.starts_with('-') && !l.ends_with('-');
        ends && host_chars(&l.replace('-', ""))
    };
    LETTERS.is_match(top) && top.chars().count() >= 2 && head.split('.').all(label)
}

fn hex_color(s: &str) -> bool {
    let s = s.strip_prefix('#').unwrap_or(s);
    matches!(s.len(), 3 | 6) && s.bytes().all(|b| b.is_ascii_hexdigit())
}

fn rgb_color(s: &str) -> bool {
    let Some(inner) = s.strip_prefix("rgb(").and_then(|s| s.strip_suffix(')')) else { return false };
    let mut parts = 0;
    let fits = inner.split(',').all(|p| {
        parts += 1;
        let p = p.trim_matches(['\t', '\n', '\u{c}', '\r', ' ']);
        let plain = p == "0" || !p.starts_with('0');
        plain && !p.is_empty() && p.len() <= 3 && digits(p) && p.parse::<u16>().is_ok_and(|n| n <= 255)
    });
    fits && parts == 3
}

fn ssn(s: &str) -> bool {
    let b = s.as_bytes();
    let gap = |b: u8| matches!(b, b'-' | b' ');
    b.len() == 11
        && gap(b[3])
        && gap(b[6])
        && [0, 1, 2, 4, 5, 7, 8, 9, 10].iter().all(|i| b[*i].is_ascii_digit())
}

fn without_gaps(s: &str) -> String {
    s.chars().filter(|c| !matches!(c, '-' | ' ' | '\t' | '\n' | '\u{c}' | '\r')).collect()
}

fn isbn10(s: &str) -> bool {
    let s = without_gaps(s);
    let b = s.as_bytes();
    if b.len() != 10 || !b[..9].iter().all(u8::is_ascii_digit) || !(b[9] == b'X' || b[9].is_ascii_digit()) {
        return false;
    }
    let value = |b: u8| if b == b'X' { 10 } else { u32::from(b - b'0') };
    (1..).zip(b).map(|(weight, b)| weight * value(*b)).sum::<u32>() % 11 == 0
}

fn isbn13(s: &str) -> bool {
    let s = without_gaps(s);
    let b = s.as_bytes();
    if b.len() != 13 || !b.iter().all(u8::is_ascii_digit) {
        return false;
    }
    [1, 3].into_iter().cycle().zip(b).map(|(weight, b)| weight * u32::from(b - b'0')).sum::<u32>() % 10 == 0
}

/// The digits of a card's number: those of a known issuer, with the right check sum.
fn credit_card(s: &str) -> bool {
    static ISSUERS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}\
             |3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
        )
        .expect("the pattern is well-formed")
    });
    let number: String = s.chars().filter(char::is_ascii_digit).collect();
    let sum: u32 = number
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| {
            let n = u32::from(b - b'0') * if i % 2 == 1 { 2 } else { 1 };
            n / 10 + n % 10
        })
        .sum();
    ISSUERS.is_match(&number) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() {
        assert!(FORMATS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(is_known("date-time") && is_known("k8s-short-name") && !is_known("int32") && !is_known(""));
    }

    type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

    /// A format, texts that are of it, texts that are not.
    const TABLE: &[Row] = &[
        ("bsonobjectid", &["507f1f77bcf86cd799439011"], &["", "507f1f77bcf86cd79943901g"]),
        (
            "uri",
            &["http://a.b/c?d#e", "/a", "mailto:a@b", "*", "http://[::1]:80/"],
            &[
                "",
                "a b",
                "foo",
                "http://a b/",
                "http://[::1/",
                "http://a:x/",
                "/%zz",
                ":x",
                "http://a\u{7f}/",
            ],
        ),
        (
            "email",
            &["a@b", "A B <a@b.c>", "\"a b\"@c.d", "a@[1.2.3.4]"],
            &["", "a", "a@", "@b", "a b@c", "<a@b"],
        ),
        (
            "hostname",
            &["a", "a.bc", "x-y.example.com", "a-bc", "ä.de"],
            &["", "a_b", "-a.bc", "a.b", "a.b1", "ab-c"],
        ),
        ("ipv4", &["1.2.3.4", "01.002.3.4", "::1.2.3.4"], &["", "1.2.3", "1.2.3.256", "::1"]),
        ("ipv6", &["::", "1::2", "::ffff:1.2.3.4"], &["", "1.2.3.4", "::1%eth0", ":::"]),
        ("cidr", &["10.0.0.0/8", "010.0.0.1/08", "::/0"], &["", "10.0.0.0", "10.0.0.0/33", "::/129", "/1"]),
        (
            "mac",
            &["01:23:45:67:89:ab", "01-23-45-67-89-AB-cd-ef", "0123.4567.89ab"],
            &["", "01:23", "01:23-45:67:89:ab", "0g:23:45:67:89:ab"],
        ),
        (
            "uuid",
            &["a8098c1a-f86e-11da-bd1a-00112444be1e", "A8098C1AF86E11DABD1A00112444BE1E"],
            &["", "a8098c1a-f86e-11da-bd1a-00112444be1", "a8098c1a--f86e-11da-bd1a-00112444be1e"],
        ),
        ("uuid3", &["bcd02e22-68f0-3046-a512-327cca9def8f"], &["bcd02e22-68f0-4046-a512-327cca9def8f"]),
        ("uuid4", &["025b0d74-00a2-4048-bf57-227c5111bb34"], &["025b0d74-00a2-4048-7f57-227c5111bb34"]),
        ("uuid5", &["886313e1-3b8a-5372-9b90-0c9aee199e5d"], &["886313e1-3b8a-3372-9b90-0c9aee199e5d"]),
        ("isbn", &["0321751043", "978-0321751041", "0-306-40615-2"], &["", "836217463", "0321751044"]),
        ("isbn10", &["0-19-853453-1"], &["978-0321751041"]),
        ("isbn13", &["9780306406157"], &["9780306406158"]),
        ("creditcard", &["4111-1111-1111-1111", "378282246310005"], &["", "4111111111111112", "1234"]),
        ("ssn", &["111-11-1111", "111 11 1111"], &["", "111111111", "111-11-11111", "aaa-11-1111"]),
        ("hexcolor", &["#fff", "FFFFFF"], &["", "#ff", "#ggg"]),
        (
            "rgbcolor",
            &["rgb(0,31,255)", "rgb( 1 , 2 , 3 )"],
            &["", "rgb(1,2,256)", "rgb(01,2,3)", "rgb(1,2)"],
        ),
        ("byte", &["ZWxpemFiZXRocG9zZXk=", "YQ=="], &["", "a", "YQ"]),
        ("password", &["", "x"], &[]),
        ("date", &["2014-12-15", "2024-02-29"], &["", "2014-12-32", "2023-02-29", "2014-1-15", "14-12-15"]),
        (
            "date-time",
            &["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20+01:00"],
            &["", "2014-12-15", "2014-12-15T19:30:60Z", "2014-12-15T24:00:00Z", "2014-12-15T19:30:20"],
        ),
        ("duration", &["1h2m", "22 ns", "3 weeks", "1 Day", "0"], &["", "x", "1", "1 parsec"]),
        ("k8s-short-name", &["a-b", "0"], &["", "A", "a.b", "-a"]),
        ("k8s-long-name", &["a.b-c", "0"], &["", "a..b", "A.b", "a-"]),
    ];

    #[test]
    fn formats() {
        for (format, good, bad) in TABLE {
            for s in *good {
                assert_eq!(check(format, s), Some(true), "{format}: {s:?}");
            }
            for s in *bad {
                assert_eq!(check(format, s), Some(false), "{format}: {s:?}");
            }
        }
        assert_eq!(check("unheard-of", "x"), None);
    }
}

//! Percent coding of paths and queries. It must never fail on input: what is not an escape stays as it is,
//! except in queries, where upstream drops a pair that cannot be decoded.

use std::borrow::Cow;

/// Decodes `%XX`; `None` when an escape is broken or the result is not UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    decode_with(text, false)
}

/// As [`decode`], with `+` for a space.
#[must_use]
pub fn decode_query(text: &str) -> Option<Cow<'_, str>> {
    decode_with(text, true)
}

fn decode_with(text: &str, plus: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus => b' ',
            b => b,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

const fn hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

/// Decoded parameters in their order. A pair that cannot be decoded is left out.
// k8s: net/url ParseQuery
#[must_use]
pub fn parse_query(text: &str) -> Vec<(String, String)> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .filter_map(|pair| {
            let (k, v) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode_query(k)?.into_owned(), decode_query(v)?.into_owned()))
        })
        .collect()
}

/// Appends one path segment, escaped so that it stays one.
pub fn push_segment(out: &mut String, text: &str) {
    push(out, text, b"-._~:@$&+=!,;'()*");
}

/// Appends a path of several segments: slashes stay.
pub fn push_path(out: &mut String, text: &str) {
    push(out, text, b"-._~:@$&+=!,;'()*/");
}

/// Appends `key=value` pairs joined by `&`.
pub fn push_query(out: &mut String, pairs: &[(String, String)]) {
    for (i, (k, v)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push('&');
        }
        push(out, k, b"-._~");
        out.push('=');
        push(out, v, b"-._~");
    }
}

fn push(out: &mut String, text: &str, plain: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || plain.contains(&b) {
            out.push(char::from(b));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(b >> 4)]));
            out.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        for (text, path, query) in [
            ("a", Some("a"), Some("a")),
            ("a%20b+c", Some("a b+c"), Some("a b c")),
            ("%2f%2F", Some("//"), Some("//")),
            ("%", None, None),
            ("%2", None, None),
            ("%zz", None, None),
            ("%ff", None, None),
            ("%C3%A9", Some("é"), Some("é")),
        ] {
            assert_eq!(decode(text).as_deref(), path, "{text}");
            assert_eq!(decode_query(text).as_deref(), query, "{text}");
        }
    }

    #[test]
    fn parses_queries() {
        let q = parse_query("a=1&&b&c=%zz&d=x%3Dy");
        let text: Vec<(&str, &str)> = q.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(text, [("a", "1"), ("b", ""), ("d", "x=y")]);
    }
}

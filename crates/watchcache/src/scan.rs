//! Reads labels and single values out of JSON bytes without building a value. Skips everything else.
//! Never panics, never recurses deeper than the paths asked for; broken JSON gives what was read so far.

use std::borrow::Cow;

use crate::facts::Facts;

/// Labels longer in number than this are not indexed (the API refuses objects of that size before).
const LIMIT_LABELS: usize = 4096;

/// The labels (`metadata.labels`) and the values at `fields`, dotted paths through objects such as
/// `spec.nodeName`. A string is its text, a number or a boolean its JSON form; absent, null, and composite
/// values are empty strings.
pub fn scan<S: AsRef<str>>(value: &[u8], fields: &[S]) -> Facts {
    let mut wants: Vec<Want<'_>> =
        fields.iter().enumerate().map(|(slot, path)| Want { path: path.as_ref(), slot }).collect();
    wants.push(Want { path: "metadata.labels", slot: LABELS });
    let mut found = Found { labels: Vec::new(), fields: vec![Cow::Borrowed(""); fields.len()] };
    let mut scanner = Scanner { bytes: value, at: 0 };
    // What was found before the bytes broke is kept.
    let _ = scanner.object(&wants, &mut found);
    let labels = found.labels.iter().map(|(name, value)| (&**name, &**value));
    Facts::new(labels, found.fields.iter().map(|field| &**field))
}

const LABELS: usize = usize::MAX;

#[derive(Clone, Copy)]
struct Want<'a> {
    path: &'a str,
    slot: usize,
}

struct Found<'a> {
    labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    fields: Vec<Cow<'a, str>>,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Reads an object; looks into the members that lie on a wanted path.
    fn object(&mut self, wants: &[Want<'_>], found: &mut Found<'a>) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            return self.expect(b'}');
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            self.member(&key, wants, found)?;
            match self.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn member(&mut self, key: &str, wants: &[Want<'_>], found: &mut Found<'a>) -> Option<()> {
        let on_path = |want: &Want<'_>| -> Option<Option<usize>> {
            let rest = want.path.strip_prefix(key)?;
            if rest.is_empty() { Some(None) } else { rest.starts_with('.').then_some(Some(key.len() + 1)) }
        };
        let mut deeper = Vec::new();
        let mut here = Vec::new();
        for want in wants {
            match on_path(want) {
                Some(None) => here.push(want.slot),
                Some(Some(skip)) => deeper.push(Want { path: &want.path[skip..], slot: want.slot }),
                None => {}
            }
        }
        if here.contains(&LABELS) && self.peek()? == b'{' {
            return self.labels(found);
        }
        if !deeper.is_empty() && self.peek()? == b'{' {
            return self.object(&deeper, found);
        }
        if here.is_empty() {
            return self.skip();
        }
        let value = self.scalar()?;
        for slot in here.into_iter().filter(|slot| *slot != LABELS) {
            found.fields[slot] = value.clone();
        }
        Some(())
    }

    fn labels(&mut self, found: &mut Found<'a>) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            return self.expect(b'}');
        }
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            let value = self.scalar()?;
            if found.labels.len() < LIMIT_LABELS {
                found.labels.push((name, value));
            }
            match self.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// The text of a scalar; empty for null and for what is not a scalar.
    fn scalar(&mut self) -> Option<Cow<'a, str>> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' | b'[' => {
                self.skip()?;
                Some(Cow::Borrowed(""))
            }
            _ => {
                let start = self.at;
                self.skip()?;
                let text = std::str::from_utf8(&self.bytes[start..self.at]).ok()?;
                Some(Cow::Borrowed(if text == "null" { "" } else { text }))
            }
        }
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.peek()?;
        let start = self.at;
        let escaped = self.skip_string()?;
        let inside = std::str::from_utf8(&self.bytes[start + 1..self.at - 1]).ok()?;
        if escaped { unescape(inside).map(Cow::Owned) } else { Some(Cow::Borrowed(inside)) }
    }

    /// Moves behind a string; tells whether it has escapes.
    fn skip_string(&mut self) -> Option<bool> {
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(escaped);
                }
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Moves behind one value of any kind, without recursion.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.skip_string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => self.skip_word()?,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Moves behind a number, `true`, `false` or `null`.
    fn skip_word(&mut self) -> Option<()> {
        let length = self.bytes[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
            .count();
        self.at += length;
        (length > 0).then_some(())
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.bytes.get(self.at)?, b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match chars.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => out.push(unescape_unicode(&mut chars)?),
            other => out.push(other),
        }
    }
    Some(out)
}

fn unescape_unicode(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let unit = |chars: &mut std::str::Chars<'_>| {
        let digits: String = chars.by_ref().take(4).collect();
        u32::from_str_radix(&digits, 16).ok()
    };
    let high = unit(chars)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    let mut ahead = chars.clone();
    if ahead.next() != Some('\\') || ahead.next() != Some('u') {
        return Some(char::REPLACEMENT_CHARACTER);
    }
    let low = unit(&mut ahead)?;
    if !(0xdc00..0xe000).contains(&low) {
        return Some(char::REPLACEMENT_CHARACTER);
    }
    *chars = ahead;
    char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [&str; 4] = ["spec.nodeName", "status.phase", "spec.unschedulable", "type"];

    fn fields(json: &str) -> Vec<String> {
        scan(json.as_bytes(), &FIELDS).fields().map(str::to_owned).collect()
    }

    #[test]
    fn finds_fields_and_labels() {
        let json = r#"{"kind":"Pod","metadata":{"name":"a","labels":{"app":"w\u00e9b\n","x":"1"},"annotations":{"a":"{}\""}},
            "spec":{"containers":[{"a":[1,{"nodeName":"wrong"}]}],"nodeName":"n1", "unschedulable" : true},"status":{"phase":"Running"},"type":7}"#;
        assert_eq!(fields(json), ["n1", "Running", "true", "7"]);
        let facts = scan(json.as_bytes(), &FIELDS);
        assert_eq!(facts.labels().collect::<Vec<_>>(), [("app", "wéb\n"), ("x", "1")]);
    }

    #[test]
    fn absent_null_and_composite_are_empty() {
        for json in [
            "{}",
            r#"{"spec":null,"status":[],"type":null,"metadata":null}"#,
            r#"{"spec":{"nodeName":{}},"status":{"phase":["x"]},"metadata":{"labels":null}}"#,
        ] {
            assert_eq!(fields(json), ["", "", "", ""], "{json}");
        }
    }

    #[test]
    fn broken_json_is_survived() {
        let whole = r#"{"type":"T\ud83d\ude00","spec":{"nodeName":"n1"},"metadata":{"labels":{"a":"b"}}}"#;
        assert_eq!(fields(whole)[3], "T😀");
        for end in 0..whole.len() {
            let _ = scan(&whole.as_bytes()[..end], &FIELDS);
        }
        for json in ["", "nul", "]", "{\"", "{\"type\":\"\\", "{\"type\":\"\\ud83d\"}", "{\"type\":}", "{,}"]
        {
            let _ = fields(json);
        }
        let deep = format!("{{\"a\":{}", "[".repeat(200_000));
        assert_eq!(fields(&deep), ["", "", "", ""]);
    }

    #[test]
    fn a_cut_at_a_backslash_does_not_overrun() {
        assert_eq!(fields("{\"spec\":{\"nodeName\":\"n1\"},\"x\":\"\\"), ["n1", "", "", ""]);
    }
}

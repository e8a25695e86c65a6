//! Writes YAML in the style of upstream's tools: sorted keys, lists not indented below their key,
//! text in block form where it has lines.

use crate::json::{format_float, write_json_string};
use crate::{Map, Value};

/// YAML of a value without a type.
#[must_use]
pub fn encode_yaml_plain(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    match value {
        Value::Map(m) if !m.is_empty() => map(&mut out, m, 0, true),
        Value::List(l) if !l.is_empty() => list(&mut out, l, 0, true),
        v => scalar(&mut out, v, 0),
    }
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    out
}

fn indent(out: &mut Vec<u8>, by: usize) {
    out.resize(out.len() + by, b' ');
}

/// Entries at column `at`; the first is already there when `fresh` is false.
fn map(out: &mut Vec<u8>, map_value: &Map, at: usize, mut fresh: bool) {
    let mut entries: Vec<_> = map_value.iter().collect();
    entries.sort_by_key(|(k, _)| *k);
    for (k, v) in entries {
        if fresh {
            indent(out, at);
        }
        fresh = true;
        text(out, k);
        out.push(b':');
        match v {
            Value::Map(m) if !m.is_empty() => {
                out.push(b'\n');
                map(out, m, at + 2, true);
            }
            Value::List(l) if !l.is_empty() => {
                out.push(b'\n');
                list(out, l, at, true);
            }
            v => {
                out.push(b' ');
                scalar(out, v, at + 2);
                out.push(b'\n');
            }
        }
    }
}

fn list(out: &mut Vec<u8>, values: &[Value], at: usize, mut fresh: bool) {
    for v in values {
        if fresh {
            indent(out, at);
        }
        fresh = true;
        out.extend_from_slice(b"- ");
        match v {
            Value::Map(m) if !m.is_empty() => map(out, m, at + 2, false),
            Value::List(l) if !l.is_empty() => list(out, l, at + 2, false),
            v => {
                scalar(out, v, at + 2);
                out.push(b'\n');
            }
        }
    }
}

fn scalar(out: &mut Vec<u8>, value: &Value, at: usize) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(i) => out.extend_from_slice(i.to_string().as_bytes()),
        Value::Float(f) => out.extend_from_slice(format_float(*f).as_bytes()),
        Value::Str(s) if is_block(s) => block(out, s, at),
        Value::Str(s) => text(out, s),
        Value::List(_) => out.extend_from_slice(b"[]"),
        Value::Map(_) => out.extend_from_slice(b"{}"),
    }
}

/// Whether text can be written as a literal block.
fn is_block(s: &str) -> bool {
    s.trim_end_matches('\n').contains('\n')
        && !s.starts_with([' ', '\n', '\t'])
        && s.chars().all(|c| c == '\n' || c == '\t' || !c.is_control())
        && !s.contains(['\u{2028}', '\u{2029}', '\u{feff}', '\u{85}'])
        && !s.lines().any(|l| l.ends_with([' ', '\t']))
        || (s.ends_with('\n')
            && s.len() > 1
            && s.matches('\n').count() == 1
            && !s.starts_with([' ', '\t'])
            && s.chars().all(|c| c == '\n' || !c.is_control())
            && !s.trim_end_matches('\n').ends_with(' ')
            && !s.contains(['\u{2028}', '\u{2029}', '\u{feff}', '\u{85}']))
}

fn block(out: &mut Vec<u8>, s: &str, at: usize) {
    let body = s.trim_end_matches('\n');
    let chomp: &[u8] = match s.len() - body.len() {
        0 => b"|-",
        1 => b"|",
        _ => b"|+",
    };
    out.extend_from_slice(chomp);
    let lines = if chomp == b"|+" { s.strip_suffix('\n').unwrap_or(s) } else { body };
    for line in lines.split('\n') {
        out.push(b'\n');
        if !line.is_empty() {
            indent(out, at);
            out.extend_from_slice(line.as_bytes());
        }
    }
}

fn text(out: &mut Vec<u8>, s: &str) {
    if is_plain(s) {
        out.extend_from_slice(s.as_bytes());
    } else if s.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')) {
        quoted(out, s);
    } else if resolves(s) {
        write_json_string(out, s);
    } else {
        out.push(b'\'');
        out.extend_from_slice(s.replace('\'', "''").as_bytes());
        out.push(b'\'');
    }
}

/// Double quotes with every unprintable character escaped.
fn quoted(out: &mut Vec<u8>, s: &str) {
    out.push(b'"');
    for c in s.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\r' => out.extend_from_slice(b"\\r"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// Whether plain text would be read as something that is not text.
fn resolves(s: &str) -> bool {
    const WORDS: [&str; 13] =
        ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "=", "<<"];
    let lower = s.to_ascii_lowercase();
    let b = lower.as_bytes();
    WORDS.contains(&lower.as_str())
        || matches!(lower.trim_start_matches(['+', '-']), ".inf" | ".nan")
        || b.first().is_some_and(|c| c.is_ascii_digit() || matches!(c, b'+' | b'-' | b'.'))
            && b.iter().any(u8::is_ascii_digit)
            && b.iter().all(|c| {
                c.is_ascii_hexdigit()
                    || matches!(c, b'+' | b'-' | b'.' | b'_' | b'x' | b'o' | b':' | b't' | b'z')
            })
}

fn is_plain(s: &str) -> bool {
    let b = s.as_bytes();
    let (Some(&first), Some(&last)) = (b.first(), b.last()) else { return false };
    !resolves(s)
        && !matches!(
            first,
            b'!' | b'&'
                | b'*'
                | b'{'
                | b'}'
                | b'['
                | b']'
                | b','
                | b'#'
                | b'|'
                | b'>'
                | b'@'
                | b'`'
                | b'"'
                | b'\''
                | b'%'
                | b' '
        )
        && !(matches!(first, b'-' | b'?' | b':') && (b.len() == 1 || b[1] == b' '))
        && !s.starts_with("---")
        && !s.starts_with("...")
        && !matches!(last, b' ' | b':')
        && !s.contains(": ")
        && !s.contains(" #")
        && !s.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
}

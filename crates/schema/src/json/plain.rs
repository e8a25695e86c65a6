//! JSON without a type: what embedded objects and patches are read with.

use std::borrow::Cow;

use super::lexer::{Lexer, Number};
use super::{DecodeError, MAX_DEPTH};
use crate::{Map, Value};

/// Reads any JSON. Integers of 64 bits stay integers; of a repeated key the last value counts.
///
/// # Errors
/// When the text is no JSON, or nested deeper than [`MAX_DEPTH`].
pub fn decode_plain(bytes: &[u8]) -> Result<Value, DecodeError> {
    let text = String::from_utf8_lossy(bytes);
    let mut lexer = Lexer::new(&text);
    let v = value(&mut lexer, MAX_DEPTH)?;
    lexer.end()?;
    Ok(v)
}

/// As [`decode_plain`], and the paths of keys that stand in an object more than once: `spec.list[0].a`.
///
/// # Errors
/// As of [`decode_plain`].
pub fn decode_plain_telling(bytes: &[u8]) -> Result<(Value, Vec<String>), DecodeError> {
    let text = String::from_utf8_lossy(bytes);
    let mut lexer = Lexer::new(&text);
    let mut told = Repeated::default();
    let v = told_value(&mut lexer, MAX_DEPTH, &mut Some(&mut told))?;
    lexer.end()?;
    Ok((v, told.paths))
}

/// Most repeated keys that are told of.
const LIMIT_TOLD: usize = 64;

/// Keys that stand in an object more than once.
#[derive(Default)]
struct Repeated {
    path: String,
    paths: Vec<String>,
}

impl Repeated {
    fn add(&mut self, keys: Vec<String>) {
        for key in keys.into_iter().take(LIMIT_TOLD.saturating_sub(self.paths.len())) {
            let dot = if self.path.is_empty() { "" } else { "." };
            self.paths.push(format!("{}{dot}{key}", self.path));
        }
    }
}

/// Reads a member at its place in the path.
fn member<'a>(
    lexer: &mut Lexer<'a>,
    depth: usize,
    told: &mut Option<&mut Repeated>,
    step: impl FnOnce(&mut String),
) -> Result<Value, DecodeError> {
    let Some(repeated) = told else { return value(lexer, depth) };
    let length = repeated.path.len();
    step(&mut repeated.path);
    let v = told_value(lexer, depth, &mut Some(&mut **repeated));
    repeated.path.truncate(length);
    v
}

/// Any value at the lexer's place.
pub fn value(lexer: &mut Lexer<'_>, depth: usize) -> Result<Value, DecodeError> {
    told_value(lexer, depth, &mut None)
}

fn told_value(
    lexer: &mut Lexer<'_>,
    depth: usize,
    told: &mut Option<&mut Repeated>,
) -> Result<Value, DecodeError> {
    match lexer.peek() {
        b'{' => object(lexer, depth, told),
        b'[' => array(lexer, depth, told),
        b'"' => Ok(Value::Str(into_box(lexer.string()?))),
        b't' => lexer.literal("true").map(|()| Value::Bool(true)),
        b'f' => lexer.literal("false").map(|()| Value::Bool(false)),
        b'n' => lexer.literal("null").map(|()| Value::Null),
        b'-' | b'0'..=b'9' => number(lexer),
        _ => Err(lexer.unexpected("looking for beginning of value")),
    }
}

/// Passes any value and gives its text, without white space between its tokens.
pub fn text<'a>(lexer: &mut Lexer<'a>, depth: usize) -> Result<Cow<'a, str>, DecodeError> {
    lexer.peek();
    let start = lexer.position();
    skip(lexer, depth)?;
    let text = lexer.since(start);
    if is_compact(text) { Ok(Cow::Borrowed(text)) } else { Ok(Cow::Owned(compact(text))) }
}

/// The text of any JSON as [`text`] gives it, as a value; `None` for null.
///
/// # Errors
/// As [`decode_plain`].
pub fn compact_text(bytes: &[u8]) -> Result<Option<Value>, DecodeError> {
    let whole = String::from_utf8_lossy(bytes);
    let mut lexer = Lexer::new(&whole);
    let text = text(&mut lexer, MAX_DEPTH)?;
    lexer.end()?;
    Ok((text != "null").then(|| Value::Str(into_box(text))))
}

fn skip(lexer: &mut Lexer<'_>, depth: usize) -> Result<(), DecodeError> {
    let (close, is_object) = match lexer.peek() {
        b'{' => (b'}', true),
        b'[' => (b']', false),
        b'"' => return lexer.string().map(drop),
        _ => return value(lexer, depth).map(drop),
    };
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
    lexer.bump();
    if lexer.peek() == close {
        lexer.bump();
        return Ok(());
    }
    loop {
        if is_object {
            lexer.key()?;
        }
        skip(lexer, depth)?;
        match lexer.peek() {
            b',' => lexer.bump(),
            c if c == close => break,
            _ if is_object => return Err(lexer.unexpected("after object key:value pair")),
            _ => return Err(lexer.unexpected("after array element")),
        }
    }
    lexer.bump();
    Ok(())
}

/// The bytes of well-formed JSON that are not white space between tokens, one by one.
fn significant(text: &str) -> impl Iterator<Item = (usize, bool)> {
    let (mut in_string, mut escaped) = (false, false);
    text.bytes().enumerate().map(move |(at, c)| {
        let keep = in_string || !matches!(c, b' ' | b'\n' | b'\t' | b'\r');
        if in_string && !escaped && c == b'\\' {
            escaped = true;
        } else {
            in_string ^= c == b'"' && !escaped;
            escaped = false;
        }
        (at, keep)
    })
}

fn is_compact(text: &str) -> bool {
    let has_space = text.bytes().any(|c| matches!(c, b' ' | b'\n' | b'\t' | b'\r'));
    !has_space || significant(text).all(|(_, keep)| keep)
}

fn compact(text: &str) -> String {
    let bytes = text.as_bytes();
    let kept = significant(text).filter(|(_, keep)| *keep).map(|(at, _)| bytes[at]).collect();
    String::from_utf8(kept).expect("only ASCII bytes were left out")
}

fn number(lexer: &mut Lexer<'_>) -> Result<Value, DecodeError> {
    Ok(match lexer.number()? {
        Number::Int(i) => Value::Int(i),
        Number::Other(text) => match text.parse::<f64>() {
            Ok(f) if f.is_finite() => Value::Float(f),
            _ => {
                let message = format!("json: cannot unmarshal number {text} into Go value of type float64");
                return Err(DecodeError::Type(message));
            }
        },
    })
}

pub fn into_box(s: Cow<'_, str>) -> Box<str> {
    match s {
        Cow::Borrowed(s) => s.into(),
        Cow::Owned(s) => s.into_boxed_str(),
    }
}

fn object(
    lexer: &mut Lexer<'_>,
    depth: usize,
    told: &mut Option<&mut Repeated>,
) -> Result<Value, DecodeError> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
    lexer.bump();
    let mut map = Map::new();
    if lexer.peek() == b'}' {
        lexer.bump();
        return Ok(Value::Map(map));
    }
    loop {
        let key = lexer.key()?;
        let key = key.into_owned();
        let v = member(lexer, depth, told, |path| {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&key);
        })?;
        map.0.push((Cow::Owned(key), v));
        match lexer.peek() {
            b',' => lexer.bump(),
            b'}' => break,
            _ => return Err(lexer.unexpected("after object key:value pair")),
        }
    }
    lexer.bump();
    let repeated = keep_last(&mut map);
    if let Some(told) = told {
        told.add(repeated);
    }
    Ok(Value::Map(map))
}

/// Drops all but the last of entries with the same key. Quadratic only for few keys.
pub fn keep_last(map: &mut Map) -> Vec<String> {
    let mut repeated = Vec::new();
    let entries = &mut map.0;
    if entries.len() < 2 {
        return repeated;
    }
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|a, b| entries[*a].0.cmp(&entries[*b].0));
    let mut drop: Vec<usize> = Vec::new();
    for pair in order.windows(2) {
        if entries[pair[0]].0 == entries[pair[1]].0 {
            repeated.push(entries[pair[0]].0.to_string());
            drop.push(pair[0]);
        }
    }
    if !drop.is_empty() {
        drop.sort_unstable();
        let mut at = 0;
        entries.retain(|_| {
            at += 1;
            drop.binary_search(&(at - 1)).is_err()
        });
    }
    repeated
}

/// Sorts keys all the way down.
pub fn sort(v: &mut Value) {
    match v {
        Value::Map(m) => {
            if !m.0.is_sorted_by(|a, b| a.0 <= b.0) {
                m.0.sort_by(|a, b| a.0.cmp(&b.0));
            }
            m.0.iter_mut().for_each(|(_, v)| sort(v));
        }
        Value::List(l) => l.iter_mut().for_each(sort),
        _ => {}
    }
}

fn array(
    lexer: &mut Lexer<'_>,
    depth: usize,
    told: &mut Option<&mut Repeated>,
) -> Result<Value, DecodeError> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
    lexer.bump();
    let mut list = Vec::new();
    if lexer.peek() == b']' {
        lexer.bump();
        return Ok(Value::List(list));
    }
    loop {
        let at = list.len();
        list.push(member(lexer, depth, told, |path| path.push_str(&format!("[{at}]")))?);
        match lexer.peek() {
            b',' => lexer.bump(),
            b']' => break,
            _ => return Err(lexer.unexpected("after array element")),
        }
    }
    lexer.bump();
    Ok(Value::List(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_repeated_keys() {
        let json = br#"{"a":1,"b":{"c":1,"c":2},"l":[{"x":0},{"x":1,"x":2}],"a":3}"#;
        let (value, told) = decode_plain_telling(json).unwrap();
        assert_eq!(told, ["b.c", "l[1].x", "a"]);
        assert_eq!(value, decode_plain(json).unwrap());
        assert_eq!(value.int_at(&["a"]), Some(3));
    }
}

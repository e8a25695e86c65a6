//! Functions on strings, version 2. Places count in code points.
//! It must never make a string longer than was paid for.
// k8s: github.com/google/cel-go ext/strings.go

use crate::declare::{Library, decls};
use crate::error::Error;
use crate::meter::Meter;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Error>;

pub const LIBRARY: Library =
    Library { name: "cel.lib.ext.strings", functions: FUNCTIONS, macros: &[], types: &[] };

#[rustfmt::skip]
const FUNCTIONS: &[crate::declare::Decl] = decls! {
    "charAt" "string_char_at_int" "string.(int) -> string" => char_at;
    "format" "string_format" "string.(list(dyn)) -> string" => format;
    "indexOf" "string_index_of_string" "string.(string) -> int" => index_of;
    "indexOf" "string_index_of_string_int" "string.(string, int) -> int" => index_of;
    "join" "list_join" "list(string).() -> string" => join;
    "join" "list_join_string" "list(string).(string) -> string" => join;
    "lastIndexOf" "string_last_index_of_string" "string.(string) -> int" => last_index_of;
    "lastIndexOf" "string_last_index_of_string_int" "string.(string, int) -> int" => last_index_of;
    "lowerAscii" "string_lower_ascii" "string.() -> string" => lower;
    "replace" "string_replace_string_string" "string.(string, string) -> string" => replace;
    "replace" "string_replace_string_string_int" "string.(string, string, int) -> string" => replace;
    "split" "string_split_string" "string.(string) -> list(string)" => split;
    "split" "string_split_string_int" "string.(string, int) -> list(string)" => split;
    "strings.quote" "strings_quote" "(string) -> string" => quote;
    "substring" "string_substring_int" "string.(int) -> string" => substring;
    "substring" "string_substring_int_int" "string.(int, int) -> string" => substring;
    "trim" "string_trim" "string.() -> string" => trim;
    "upperAscii" "string_upper_ascii" "string.() -> string" => upper;
};

fn text<'v>(value: &'v Value<'_>) -> Result<&'v str, Error> {
    value.as_str().ok_or_else(Error::no_such_overload)
}

fn out_of_range(at: i64) -> Error {
    Error::new(format!("index out of range: {at}"))
}

fn int<'a>(n: usize) -> Value<'a> {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// Where the code point `at` begins, or the end for the one after the last.
fn offset(text: &str, at: i64) -> Result<usize, Error> {
    let at_code = usize::try_from(at).map_err(|_| out_of_range(at))?;
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.nth(at_code).ok_or_else(|| out_of_range(at))
}

fn char_at<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s, Value::Int(at)] = args else { return Err(Error::no_such_overload()) };
    let s = text(s)?;
    let from = offset(s, *at)?;
    Ok(Value::str(s[from..].chars().next().map(String::from).unwrap_or_default()))
}

fn index_of<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s, sub, rest @ ..] = args else { return Err(Error::no_such_overload()) };
    let (s, sub) = (text(s)?, text(sub)?);
    let from = rest.first().and_then(Value::as_int).unwrap_or(0);
    let start = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let len = s.chars().count();
    if sub.is_empty() {
        return Ok(int(start.min(len)));
    }
    if start >= len {
        return Ok(Value::Int(-1));
    }
    let begin = offset(s, from)?;
    Ok(match s[begin..].find(sub) {
        Some(at) => int(start + s[begin..begin + at].chars().count()),
        None => Value::Int(-1),
    })
}

fn last_index_of<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s, sub, rest @ ..] = args else { return Err(Error::no_such_overload()) };
    let (s, sub) = (text(s)?, text(sub)?);
    let len = s.chars().count();
    let limit = match rest.first().and_then(Value::as_int) {
        None if sub.is_empty() => return Ok(int(len)),
        None => len,
        Some(at) => {
            let limit = usize::try_from(at).map_err(|_| out_of_range(at))?;
            if sub.is_empty() {
                return Ok(int(limit.min(len)));
            }
            if limit >= len {
                return Ok(Value::Int(-1));
            }
            limit
        }
    };
    // The last that begins at `limit` or before.
    let until = limit.saturating_add(sub.chars().count());
    let end = s.char_indices().map(|(at, _)| at).nth(until).unwrap_or(s.len());
    Ok(match s[..end].rfind(sub) {
        Some(at) => int(s[..at].chars().count()),
        None => Value::Int(-1),
    })
}

fn lower<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s] = args else { return Err(Error::no_such_overload()) };
    Ok(Value::str(text(s)?.to_ascii_lowercase()))
}

fn upper<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s] = args else { return Err(Error::no_such_overload()) };
    Ok(Value::str(text(s)?.to_ascii_uppercase()))
}

fn replace<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s, old, new, rest @ ..] = args else { return Err(Error::no_such_overload()) };
    let (s, old, new) = (text(s)?, text(old)?, text(new)?);
    let most = rest.first().and_then(Value::as_int).unwrap_or(-1);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let places = if old.is_empty() { s.chars().count() + 1 } else { s.len() / old.len() };
    run.allocate(places.min(most).saturating_mul(new.len()).saturating_add(s.len()))?;
    Ok(Value::str(s.replacen(old, new, most)))
}

fn split<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s, separator, rest @ ..] = args else { return Err(Error::no_such_overload()) };
    let (s, separator) = (text(s)?, text(separator)?);
    let most = rest.first().and_then(Value::as_int).unwrap_or(-1);
    if most == 0 {
        return Ok(Value::list(Vec::new()));
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<Value<'a>> = if separator.is_empty() {
        let mut places: Vec<_> = s.char_indices().map(|(at, _)| at).take(most).collect();
        places.push(s.len());
        places.windows(2).map(|w| Value::str(s[w[0]..w[1]].to_owned())).collect()
    } else {
        s.splitn(most, separator).map(|p| Value::str(p.to_owned())).collect()
    };
    Ok(Value::list(parts))
}

fn substring<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s, Value::Int(start), rest @ ..] = args else { return Err(Error::no_such_overload()) };
    let s = text(s)?;
    let Some(end) = rest.first().and_then(Value::as_int) else {
        return Ok(Value::str(s[offset(s, *start)?..].to_owned()));
    };
    if *start > end {
        return Err(Error::new(format!("invalid substring range. start: {start}, end: {end}")));
    }
    Ok(Value::str(s[offset(s, *start)?..offset(s, end)?].to_owned()))
}

fn trim<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s] = args else { return Err(Error::no_such_overload()) };
    Ok(Value::str(text(s)?.trim().to_owned()))
}

fn quote<'a>(_: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s] = args else { return Err(Error::no_such_overload()) };
    let mut out = String::from("\"");
    for c in text(s)?.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(Value::str(out))
}

fn join<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list), rest @ ..] = args else { return Err(Error::no_such_overload()) };
    let separator = rest.first().map(text).transpose()?.unwrap_or("");
    let mut out = String::new();
    for (at, value) in list.iter().enumerate() {
        if at > 0 {
            out.push_str(separator);
        }
        let Value::Str(s) = &value else {
            return Err(Error::new(format!("join: invalid input: {value}")));
        };
        run.allocate(out.len().saturating_add(s.len()))?;
        out.push_str(s);
    }
    Ok(Value::str(out))
}

fn format<'a>(run: &mut Meter<'_>, args: &[Value<'a>]) -> Out<'a> {
    let [s, Value::List(list)] = args else { return Err(Error::no_such_overload()) };
    super::string_format::format(run, text(s)?, list).map(Value::str)
}

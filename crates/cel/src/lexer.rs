//! Source to tokens, by upstream's grammar. It must never look at more than the one token it makes.
// k8s: github.com/google/cel-go parser/gen/CEL.g4

use crate::source::{Issues, Source};

/// What a token is. Punctuation and operators are one kind; their text tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tok {
    Punct,
    In,
    True,
    False,
    Null,
    Int,
    Uint,
    Float,
    Str,
    Bytes,
    Ident,
    /// In backticks; the text is with them.
    Escaped,
    End,
}

/// A token and where its text is, in code points.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub tok: Tok,
    pub start: usize,
    pub end: usize,
}

const DOUBLE: [&str; 6] = ["==", "!=", "<=", ">=", "&&", "||"];
const SINGLE: &str = "<>[]{}().,-!?:+*/%";

/// All tokens, the end last. What is no token is reported and skipped, as upstream does.
#[must_use]
pub fn tokens(source: &Source, issues: &mut Issues) -> Vec<Token> {
    let text = source.chars();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text.get(at) {
        if matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}') {
            at += 1;
            continue;
        }
        if text[at..].starts_with(&['/', '/']) {
            at += text[at..].iter().position(|c| *c == '\n').unwrap_or(text.len() - at);
            continue;
        }
        match token(text, at) {
            Ok((tok, end)) => {
                out.push(Token { tok, start: at, end });
                at = end;
            }
            Err(end) => {
                let bad: String = text[at..end].iter().flat_map(|c| shown(*c)).collect();
                issues.report(
                    source.location(at),
                    format!("Syntax error: token recognition error at: '{bad}'"),
                );
                at = end;
            }
        }
    }
    out.push(Token { tok: Tok::End, start: text.len(), end: text.len() });
    out
}

/// As upstream's parser shows characters of the input.
fn shown(c: char) -> Vec<char> {
    match c {
        '\n' => vec!['\\', 'n'],
        '\r' => vec!['\\', 'r'],
        '\t' => vec!['\\', 't'],
        c => vec![c],
    }
}

/// The token at `at` and its end, or where to go on after what is none.
fn token(text: &[char], at: usize) -> Result<(Tok, usize), usize> {
    let c = text[at];
    if let Some(end) = string_at(text, at) {
        return end.map(|end| (Tok::Str, end));
    }
    if matches!(c, 'b' | 'B')
        && let Some(end) = string_at(text, at + 1)
    {
        return end.map(|end| (Tok::Bytes, end));
    }
    if c.is_ascii_alphabetic() || c == '_' {
        let end = at + run(&text[at..], |c| c.is_ascii_alphanumeric() || c == '_');
        let word: String = text[at..end].iter().collect();
        let tok = match word.as_str() {
            "in" => Tok::In,
            "true" => Tok::True,
            "false" => Tok::False,
            "null" => Tok::Null,
            _ => Tok::Ident,
        };
        return Ok((tok, end));
    }
    if c.is_ascii_digit() || (c == '.' && text.get(at + 1).is_some_and(char::is_ascii_digit)) {
        return Ok(number(text, at));
    }
    if c == '`' {
        let inner = run(&text[at + 1..], |c| c.is_ascii_alphanumeric() || "_.-/ ".contains(c));
        let end = at + 1 + inner;
        return if inner > 0 && text.get(end) == Some(&'`') { Ok((Tok::Escaped, end + 1)) } else { Err(end) };
    }
    if let Some(two) = text.get(at..at + 2)
        && DOUBLE.iter().any(|d| d.chars().eq(two.iter().copied()))
    {
        return Ok((Tok::Punct, at + 2));
    }
    if SINGLE.contains(c) {
        return Ok((Tok::Punct, at + 1));
    }
    // A lone '=', '&' or '|' takes the character with it that would have had to be its second.
    let joined = matches!(c, '=' | '&' | '|') && at + 1 < text.len();
    Err(at + 1 + usize::from(joined))
}

fn run(text: &[char], member: impl Fn(char) -> bool) -> usize {
    text.iter().take_while(|c| member(**c)).count()
}

fn number(text: &[char], at: usize) -> (Tok, usize) {
    if text[at] == '0' && text.get(at + 1) == Some(&'x') {
        let digits = run(&text[at + 2..], |c| c.is_ascii_hexdigit());
        if digits > 0 {
            return suffixed(text, at + 2 + digits, Tok::Int);
        }
    }
    let mut end = at + run(&text[at..], |c| c.is_ascii_digit());
    let mut tok = Tok::Int;
    if text.get(end) == Some(&'.') && text.get(end + 1).is_some_and(char::is_ascii_digit) {
        end += 1 + run(&text[end + 1..], |c| c.is_ascii_digit());
        tok = Tok::Float;
    }
    if matches!(text.get(end), Some('e' | 'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some('+' | '-')));
        let digits = run(&text[(end + 1 + sign).min(text.len())..], |c| c.is_ascii_digit());
        if digits > 0 {
            end += 1 + sign + digits;
            tok = Tok::Float;
        }
    }
    suffixed(text, end, tok)
}

fn suffixed(text: &[char], end: usize, tok: Tok) -> (Tok, usize) {
    if tok == Tok::Int && matches!(text.get(end), Some('u' | 'U')) {
        return (Tok::Uint, end + 1);
    }
    (tok, end)
}

/// The end of the string that begins at `at`, an error with where to go on when it is none, nothing when
/// nothing like a string begins there.
fn string_at(text: &[char], at: usize) -> Option<Result<usize, usize>> {
    let raw = matches!(text.get(at), Some('r' | 'R'));
    let open = at + usize::from(raw);
    let quote = *text.get(open)?;
    if quote != '"' && quote != '\'' {
        return None;
    }
    if text[open..].starts_with(&[quote; 3])
        && let Ok(end) = string_body(text, open + 3, quote, 3, raw)
    {
        return Some(Ok(end));
    }
    let body = string_body(text, open + 1, quote, 1, raw);
    // r"... without an end is the name r and a bad string.
    if raw && body.is_err() { None } else { Some(body) }
}

fn string_body(text: &[char], mut at: usize, quote: char, quotes: usize, raw: bool) -> Result<usize, usize> {
    loop {
        match text.get(at) {
            None => return Err(at),
            Some(c)
                if *c == quote
                    && text[at..].iter().take(quotes).filter(|c| **c == quote).count() == quotes =>
            {
                return Ok(at + quotes);
            }
            Some('\n' | '\r') if quotes == 1 => return Err(at + 1),
            Some('\\') if !raw => at += escape(&text[at..]).ok_or((at + 2).min(text.len()))?,
            Some(_) => at += 1,
        }
    }
}

/// How long the escape at the beginning of `text` is.
fn escape(text: &[char]) -> Option<usize> {
    let hex = |n: usize| {
        let digits = text.get(2..2 + n)?;
        digits.iter().all(char::is_ascii_hexdigit).then_some(2 + n)
    };
    match text.get(1)? {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`' => Some(2),
        '0'..='3' => {
            let digits = text.get(2..4)?;
            digits.iter().all(|c| ('0'..='7').contains(c)).then_some(4)
        }
        'x' | 'X' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        _ => None,
    }
}

//! Field selectors: `metadata.name=a,status.phase!=Running`. Which fields a kind offers is not known here.
// k8s: staging/src/k8s.io/apimachinery/pkg/fields/selector.go

use std::fmt;

/// One comparison of a field with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub field: String,
    /// `!=` when true, else `=`.
    pub negated: bool,
    pub value: String,
}

/// All requirements must hold; an empty selector matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Vec<Requirement>);

/// Why a text is not a field selector, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

/// The complaint about a field that a kind does not offer.
#[must_use]
pub fn not_supported(field: &str) -> String {
    format!("field label not supported: {field}")
}

impl Selector {
    /// Reads `field=value`, `field==value`, `field!=value`, separated by commas; `\` escapes `\`, `,` and `=`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut out = Vec::new();
        for term in split_unescaped(text) {
            if term.is_empty() {
                continue;
            }
            let Some((field, negated, value)) = split_term(term) else {
                return Err(ParseError(format!("invalid selector: '{text}'; can't understand '{term}'")));
            };
            out.push(Requirement { field: field.to_owned(), negated, value: unescape(value)? });
        }
        Ok(Selector(out))
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object with these field values is selected.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>) -> bool {
        self.0.iter().all(|r| (field(&r.field).as_deref().unwrap_or("") == r.value) != r.negated)
    }

    /// The value that `field` must have, when one requirement says so.
    #[must_use]
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|r| r.field == field && !r.negated).map(|r| r.value.as_str())
    }

    /// The fields it looks at.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|r| r.field.as_str())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let op = if r.negated { "!=" } else { "=" };
            write!(f, "{comma}{}{op}{}", r.field, escape(&r.value))?;
        }
        Ok(())
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == ',' {
            out.push(&text[start..i]);
            start = i + 1;
        }
    }
    out.push(&text[start..]);
    out
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.find('=')?;
    if let Some(field) = term[..at].strip_suffix('!') {
        return Some((field, true, &term[at + 1..]));
    }
    let rest = &term[at + 1..];
    Some((&term[..at], false, rest.strip_prefix('=').unwrap_or(rest)))
}

fn unescape(value: &str) -> Result<String, ParseError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(e @ ('\\' | ',' | '=')) => out.push(e),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(ParseError(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            ',' | '=' => {
                return Err(ParseError(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                )));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        let table: &[(&str, &str)] = &[
            ("", ""),
            ("a=b", "a=b"),
            ("a==b,c!=d", "a=b,c!=d"),
            ("a=,b!=", "a=,b!="),
            (r"a=x\,y\=z\\", r"a=x\,y\=z\\"),
            ("a=b,,c=d", "a=b,c=d"),
        ];
        for (text, canonical) in table {
            assert_eq!(Selector::parse(text).unwrap().to_string(), *canonical, "{text}");
        }
    }

    #[test]
    fn refuses() {
        let table: &[(&str, &str)] = &[
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            ("x=a=b", "invalid field selector: unescaped character in value: 61"),
            (r"x=a\b", r"invalid field selector: invalid escape sequence: \b"),
            (r"x=a\", r"invalid field selector: invalid escape sequence: \"),
        ];
        for (text, error) in table {
            assert_eq!(Selector::parse(text).unwrap_err().to_string(), *error, "{text}");
        }
    }

    #[test]
    fn matches() {
        let s = Selector::parse("a=1,b!=2").unwrap();
        let value = |a: &'static str, b: &'static str| {
            move |f: &str| Some(std::borrow::Cow::Borrowed(if f == "a" { a } else { b }))
        };
        assert!(s.matches(value("1", "3")));
        assert!(!s.matches(value("1", "2")));
        assert!(!s.matches(value("0", "3")));
        assert_eq!((s.exact("a"), s.exact("b")), (Some("1"), None));
    }
}

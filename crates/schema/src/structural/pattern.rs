//! Regular expressions of `pattern`: Go's syntax, matched in linear time, with a limit on what all patterns of a
//! schema may take in memory.
// k8s: apiextensions-apiserver pkg/apiserver/schema/validation.go validateValueValidation (regexp.Compile)

use std::collections::HashMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

/// What the compiled patterns of one schema may take together, in bytes.
const BUDGET_BYTES: usize = 64 << 20;
/// Longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 64 << 10;
/// Sizes that are tried, in bytes: the first that is enough is charged.
const SIZES_BYTES: [usize; 7] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 10 << 20];
/// Groups in groups.
const NEST_LIMIT: u32 = 200;

/// A pattern and, when it makes sense, its machine.
#[derive(Debug)]
pub struct Pattern {
    text: Box<str>,
    regex: Result<Regex, String>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether some part of `text` is of the pattern's form.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub fn matches(&self, text: &str) -> Result<bool, &str> {
        match &self.regex {
            Ok(regex) => Ok(regex.is_match(text)),
            Err(why) => Err(why),
        }
    }

    /// What is wrong with it.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.regex.as_ref().err().map(String::as_str)
    }
}

/// Compiles the patterns of one schema, each text once.
pub struct Patterns {
    known: HashMap<Box<str>, Arc<Pattern>>,
    left_bytes: usize,
}

impl Default for Patterns {
    fn default() -> Self {
        Patterns { known: HashMap::new(), left_bytes: BUDGET_BYTES }
    }
}

impl Patterns {
    pub fn compile(&mut self, text: &str) -> Arc<Pattern> {
        if let Some(pattern) = self.known.get(text) {
            return pattern.clone();
        }
        let regex = self.regex(text);
        let pattern = Arc::new(Pattern { text: text.into(), regex });
        self.known.insert(text.into(), pattern.clone());
        pattern
    }

    fn regex(&mut self, text: &str) -> Result<Regex, String> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(format!("error parsing regexp: expression exceeds {MAX_PATTERN_BYTES} bytes"));
        }
        let ours = translate(text)?;
        for size in SIZES_BYTES {
            if size > self.left_bytes {
                break;
            }
            let built = RegexBuilder::new(&ours)
                .nest_limit(NEST_LIMIT)
                .size_limit(size)
                .dfa_size_limit(256 << 10)
                .build();
            match built {
                Ok(regex) => {
                    self.left_bytes -= size;
                    return Ok(regex);
                }
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(e) => {
                    return Err(format!("error parsing regexp: {}", in_gos_words(&e.to_string(), text)));
                }
            }
        }
        // What was tried in vain costs, too.
        self.left_bytes = self.left_bytes.saturating_sub(256 << 10);
        Err("error parsing regexp: expression is too large".to_owned())
    }
}

/// The sentence of a complaint, which comes after a drawing of the pattern, as Go has it.
fn in_gos_words(complaint: &str, pattern: &str) -> String {
    let line = complaint.lines().last().unwrap_or(complaint).trim();
    match line.strip_prefix("error: ").unwrap_or(line) {
        "unclosed group" => format!("missing closing ): `{pattern}`"),
        "unopened group" => format!("unexpected ): `{pattern}`"),
        other => other.to_owned(),
    }
}

/// Go's syntax in the words of the crate: classes of ASCII, no sets of classes, `\Q..\E`, `\z`.
// k8s: Go regexp/syntax
fn translate(text: &str) -> Result<String, String> {
    let mut t = Translator {
        chars: text.chars().collect(),
        at: 0,
        out: String::with_capacity(text.len() + 16),
        repeatable: false,
    };
    while t.at < t.chars.len() {
        t.item()?;
    }
    Ok(t.out)
}

struct Translator {
    chars: Vec<char>,
    at: usize,
    out: String,
    /// Whether something is there that can be repeated.
    repeatable: bool,
}

impl Translator {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn take(&mut self) {
        if let Some(c) = self.peek(0) {
            self.out.push(c);
            self.at += 1;
        }
    }

    fn item(&mut self) -> Result<(), String> {
        let counted = self.counted();
        match self.peek(0) {
            Some('*' | '+' | '?') => return self.repetition(1),
            Some('{') if counted.is_some() => return self.repetition(counted.unwrap_or(1)),
            Some('(') if self.peek(1) == Some('?') => {
                self.repeatable = false;
                return self.group();
            }
            Some('\\') => self.escape(false)?,
            Some('[') => self.class()?,
            Some(c @ ('{' | '}')) => {
                self.out.push('\\');
                self.out.push(c);
                self.at += 1;
            }
            Some(c) => {
                self.take();
                self.repeatable = !matches!(c, '(' | '|');
                return Ok(());
            }
            None => {}
        }
        self.repeatable = true;
        Ok(())
    }

    /// The length of `{n}`, `{n,}` or `{n,m}` here; anything else in braces is text.
    fn counted(&self) -> Option<usize> {
        if self.peek(0) != Some('{') {
            return None;
        }
        let rest = &self.chars[self.at + 1..];
        let close = rest.iter().take(16).position(|c| *c == '}')?;
        let inner: String = rest[..close].iter().collect();
        let (low, high) = inner.split_once(',').unwrap_or((&inner, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        (!low.is_empty() && digits(low) && digits(high)).then_some(close + 2)
    }

    /// A repetition of `len` characters and the `?` behind it.
    fn repetition(&mut self, len: usize) -> Result<(), String> {
        let start = self.at;
        for _ in 0..len {
            self.take();
        }
        if !self.repeatable {
            let what: String = self.chars[start..self.at].iter().collect();
            return Err(format!("error parsing regexp: missing argument to repetition operator: `{what}`"));
        }
        if self.chars[start] == '{' {
            let inner: String = self.chars[start + 1..self.at - 1].iter().collect();
            let too_many = |n: &str| !n.is_empty() && n.parse::<u32>().map_or(true, |n| n > 1000);
            if inner.split(',').any(too_many) {
                return Err(format!("error parsing regexp: invalid repeat count: `{{{inner}}}`"));
            }
        }
        if self.peek(0) == Some('?') {
            self.take();
        }
        let nested = match self.peek(0) {
            Some('*' | '+' | '?') => true,
            _ => self.counted().is_some(),
        };
        if nested {
            let what: String = self.chars[start..=self.at].iter().collect();
            return Err(format!("error parsing regexp: invalid nested repetition operator: `{what}`"));
        }
        Ok(())
    }

    /// `(?` and what follows up to the end of flags or name.
    fn group(&mut self) -> Result<(), String> {
        let rest: String = self.chars[self.at..].iter().take(4).collect();
        if rest.starts_with("(?P<")
            || (rest.starts_with("(?<") && !rest.starts_with("(?<=") && !rest.starts_with("(?<!"))
        {
            self.out.push_str("(?P<");
            self.at += if rest.starts_with("(?P<") { 4 } else { 3 };
            return Ok(());
        }
        let flags = self.chars[self.at + 2..].iter().position(|c| !matches!(c, 'i' | 'm' | 's' | 'U' | '-'));
        match flags.and_then(|n| self.chars.get(self.at + 2 + n).map(|c| (n, *c))) {
            Some((n, ':' | ')')) => {
                for _ in 0..n + 3 {
                    self.take();
                }
                Ok(())
            }
            _ => {
                let shown: String = rest.chars().take(3).collect();
                Err(format!("error parsing regexp: invalid or unsupported Perl syntax: `{shown}`"))
            }
        }
    }

    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some(c) = self.peek(1) else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".to_owned());
        };
        let ours = match (c, in_class) {
            ('d', false) => "[0-9]",
            ('d', true) => "0-9",
            ('D', _) => "[^0-9]",
            ('w', false) => "[0-9A-Za-z_]",
            ('w', true) => "0-9A-Za-z_",
            ('W', _) => "[^0-9A-Za-z_]",
            ('s', false) => "[\\t\\n\\f\\r ]",
            ('s', true) => "\\t\\n\\f\\r ",
            ('S', _) => "[^\\t\\n\\f\\r ]",
            ('b', false) => "(?-u:\\b)",
            ('B', false) => "(?-u:\\B)",
            ('<', _) => "<",
            ('>', _) => ">",
            ('Q', false) => return self.quote(),
            ('1'..='9', _) => return self.octal(c),
            ('0', _) => return self.octal(c),
            ('a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' | 'p' | 'P', _) => "",
            ('A' | 'z', false) => "",
            (c, _) if c.is_ascii_punctuation() => "",
            _ => return Err(format!("error parsing regexp: invalid escape sequence: `\\{c}`")),
        };
        if ours.is_empty() {
            self.take();
            self.take();
            // `\p{Greek}`, `\x{10FFFF}`: the braces belong to it.
            if matches!(c, 'p' | 'P' | 'x') && self.peek(0) == Some('{') {
                while self.peek(0).is_some_and(|c| c != '}') {
                    self.take();
                }
                self.take();
            }
        } else {
            self.out.push_str(ours);
            self.at += 2;
        }
        Ok(())
    }

    /// `\012`: a character by its number; `\1` alone would be a back reference, which Go does not have.
    fn octal(&mut self, first: char) -> Result<(), String> {
        let digits: String =
            self.chars[self.at + 1..].iter().take(3).take_while(|c| ('0'..='7').contains(*c)).collect();
        if digits.is_empty() || (first != '0' && digits.len() < 2) {
            return Err(format!("error parsing regexp: invalid escape sequence: `\\{first}`"));
        }
        let code = u32::from_str_radix(&digits, 8).unwrap_or(0);
        self.out.push_str(&format!("\\x{{{code:X}}}"));
        self.at += 1 + digits.len();
        Ok(())
    }

    /// `\Q` up to `\E` or the end: text.
    fn quote(&mut self) -> Result<(), String> {
        self.at += 2;
        while let Some(c) = self.peek(0) {
            if c == '\\' && self.peek(1) == Some('E') {
                self.at += 2;
                break;
            }
            self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
            self.at += 1;
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), String> {
        let start = self.at;
        self.take();
        if self.peek(0) == Some('^') {
            self.take();
        }
        let mut first = true;
        loop {
            match self.peek(0) {
                None => {
                    let rest: String = self.chars[start..].iter().collect();
                    return Err(format!("error parsing regexp: missing closing ]: `{rest}`"));
                }
                Some(']') if !first => {
                    self.take();
                    return Ok(());
                }
                Some(']') => {
                    self.out.push_str("\\]");
                    self.at += 1;
                }
                Some('[') if self.peek(1) == Some(':') => {
                    let end = self.chars[self.at..].windows(2).take(16).position(|w| w == [':', ']']);
                    match end {
                        Some(len) => (0..len + 2).for_each(|_| self.take()),
                        None => {
                            self.out.push_str("\\[");
                            self.at += 1;
                        }
                    }
                }
                Some('\\') => self.escape(true)?,
                // These make sets of classes, or begin one.
                Some(c @ ('[' | '&' | '~')) => {
                    self.out.push('\\');
                    self.out.push(c);
                    self.at += 1;
                }
                Some('-') if self.peek(1) == Some('-') => {
                    self.out.push_str("\\-");
                    self.at += 1;
                }
                Some(_) => self.take(),
            }
            first = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_syntax() {
        let table: &[(&str, &str, bool)] = &[
            ("^a+$", "aaa", true),
            ("^a+$", "aab", false),
            (r"^\d+$", "٣", false),
            (r"^\w+$", "ä", false),
            (r"^[\w.-]+$", "a.b-c_9", true),
            (r"^\s$", "\u{a0}", false),
            (r"^[[:alpha:]_]+$", "Ab_", true),
            (r"^[[a]+$", "[a", true),
            (r"^[a&&b]+$", "&", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a--]$", "-", true),
            (r"^a{,5}$", "a{,5}", true),
            (r"^a{2,}$", "aaa", true),
            (r"^x{}$", "x{}", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^\/\_\-\@$", "/_-@", true),
            (r"^\101$", "A", true),
            (r"^(?i)abc$", "ABC", true),
            (r"^(?P<x>a)(?<y>b)(?:c)$", "abc", true),
            (r"\bfoo\b", "a foo b", true),
            (r"^\p{Greek}\pL$", "αb", true),
            (r"^a\z", "a", true),
            ("^.$", "\n", false),
            ("", "anything", true),
        ];
        for (pattern, text, matches) in table {
            let p = Patterns::default().compile(pattern);
            assert_eq!(p.matches(text), Ok(*matches), "{pattern} on {text:?}");
        }
    }

    #[test]
    fn refused() {
        let table: &[(&str, &str)] = &[
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?<=a)", "invalid or unsupported Perl syntax: `(?<`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\Z", r"invalid escape sequence: `\Z`"),
            (r"\", "trailing backslash at end of expression: ``"),
            ("x[a", "missing closing ]: `[a`"),
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a|+", "missing argument to repetition operator: `+`"),
            (r"((((\pL{1000}){1000}){1000}){1000})", "expression is too large"),
        ];
        for (pattern, why) in table {
            let p = Patterns::default().compile(pattern);
            assert_eq!(p.error(), Some(&*format!("error parsing regexp: {why}")), "{pattern}");
        }
    }

    #[test]
    fn all_patterns_together_have_a_limit() {
        let mut patterns = Patterns::default();
        let big = |i: usize| format!(r"^{i}\pL{{0,120}}$");
        let first_refused = (0..10_000).find(|i| patterns.compile(&big(*i)).error().is_some());
        assert!(first_refused.is_some_and(|i| i >= 6), "{first_refused:?}");
        assert_eq!(patterns.compile("^a$").error(), None);
        assert!(Arc::ptr_eq(&patterns.compile("^a$"), &patterns.compile("^a$")));
    }
}

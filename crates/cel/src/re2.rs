//! Regular expressions as upstream's library has them, made ready for the engine here: classes of ASCII, no sets in
//! classes, no references. It must never run in more than linear time, nor compile to more than a bounded size.
// k8s: Go's regexp/syntax

use crate::error::Error;
use regex::{Regex, RegexBuilder};

/// What a compiled expression may take, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;
// k8s: Go's regexp/syntax/parse.go maxRepeat
const MAX_REPEAT: u32 = 1000;

/// Compiles an expression.
///
/// # Errors
/// What is wrong with it, in upstream's words where the same is found wrong.
pub fn compile(pattern: &str) -> Result<Regex, Error> {
    let translated = Translator { chars: pattern.chars().collect(), at: 0, out: String::new() }
        .whole()
        .map_err(|why| Error::new(format!("error parsing regexp: {why}")))?;
    RegexBuilder::new(&translated)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(250)
        .build()
        .map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => {
                Error::new("error parsing regexp: expression too large".to_owned())
            }
            other => {
                let text = other.to_string();
                let why = text.lines().last().unwrap_or("").trim_start_matches("error: ");
                Error::new(format!("error parsing regexp: {why}: `{pattern}`"))
            }
        })
}

struct Translator {
    chars: Vec<char>,
    at: usize,
    out: String,
}

impl Translator {
    fn whole(mut self) -> Result<String, String> {
        let mut open = 0usize;
        // Whether something stands before that can be repeated, and whether it was.
        let mut atom = false;
        while let Some(c) = self.next() {
            match c {
                '(' => {
                    // Flags alone close what they open.
                    open += usize::from(self.group()?);
                    atom = false;
                }
                ')' => {
                    open = open.checked_sub(1).ok_or_else(|| {
                        let pattern: String = self.chars.iter().collect();
                        format!("unexpected ): `{pattern}`")
                    })?;
                    self.out.push(')');
                    atom = true;
                }
                '[' => {
                    self.class()?;
                    atom = true;
                }
                '\\' => atom = self.escape()?,
                '*' | '+' | '?' => {
                    self.repeated(atom, self.at - 1)?;
                    self.out.push(c);
                    self.after_repeat(self.at - 1)?;
                }
                '{' => atom = self.braces(atom)?,
                '|' => {
                    self.out.push('|');
                    atom = false;
                }
                '^' | '$' => {
                    self.out.push(c);
                    atom = true;
                }
                c => {
                    self.literal(c);
                    atom = true;
                }
            }
        }
        if open > 0 {
            let pattern: String = self.chars.iter().collect();
            return Err(format!("missing closing ): `{pattern}`"));
        }
        Ok(self.out)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += 1;
        c
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn rest(&self, from: usize) -> String {
        self.chars.get(from..).unwrap_or(&[]).iter().collect()
    }

    fn piece(&self, from: usize) -> String {
        self.chars.get(from..self.at.min(self.chars.len())).unwrap_or(&[]).iter().collect()
    }

    fn literal(&mut self, c: char) {
        // A space or hash means itself: there is no mode in which it does not.
        if "#&-~ ".contains(c) || c.is_alphanumeric() || c == '.' || c == '_' || !c.is_ascii() {
            self.out.push(c);
        } else {
            self.out.push_str(&regex::escape(&c.to_string()));
        }
    }

    fn repeated(&self, atom: bool, from: usize) -> Result<(), String> {
        if atom {
            return Ok(());
        }
        let op = self.chars.get(from).copied().unwrap_or('*');
        Err(format!("missing argument to repetition operator: `{op}`"))
    }

    /// A lazy mark may follow, a second repetition may not.
    fn after_repeat(&mut self, from: usize) -> Result<(), String> {
        if self.peek() == Some('?') {
            self.at += 1;
            self.out.push('?');
        }
        let double = match self.peek() {
            Some('*' | '+' | '?') => true,
            Some('{') => self.repeat_count().is_some(),
            _ => false,
        };
        if double {
            self.at += 1;
            return Err(format!("invalid nested repetition operator: `{}`", self.piece(from)));
        }
        Ok(())
    }

    /// What `{n,m}` at this place says, and how long it is.
    fn repeat_count(&self) -> Option<(u32, Option<u32>, usize)> {
        let text: Vec<char> = self.chars[self.at..].iter().take(16).copied().collect();
        let end = text.iter().position(|c| *c == '}')?;
        let inner: String = text[1..end].iter().collect();
        let number = |t: &str| {
            let plain = !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
            (plain && (t.len() == 1 || !t.starts_with('0'))).then(|| t.parse().ok()).flatten()
        };
        match inner.split_once(',') {
            None => number(&inner).map(|n| (n, Some(n), end + 1)),
            Some((low, "")) => number(low).map(|n| (n, None, end + 1)),
            Some((low, high)) => Some((number(low)?, Some(number(high)?), end + 1)),
        }
    }

    /// A repetition, or a brace that means itself.
    fn braces(&mut self, atom: bool) -> Result<bool, String> {
        self.at -= 1;
        let from = self.at;
        let Some((low, high, len)) = self.repeat_count() else {
            self.at += 1;
            self.out.push_str("\\{");
            return Ok(true);
        };
        self.at += len;
        if low > MAX_REPEAT || high.is_some_and(|h| h > MAX_REPEAT || h < low) {
            return Err(format!("invalid repeat count: `{}`", self.piece(from)));
        }
        if !atom {
            return Err(format!("missing argument to repetition operator: `{}`", self.piece(from)));
        }
        self.out.push_str(&self.piece(from));
        self.after_repeat(from)?;
        Ok(true)
    }

    /// What follows an opening bracket: nothing, flags or a name. Whether it has to be closed.
    fn group(&mut self) -> Result<bool, String> {
        self.out.push('(');
        if self.peek() != Some('?') {
            return Ok(true);
        }
        let from = self.at - 1;
        self.at += 1;
        let named = matches!(self.peek(), Some('P' | '<'));
        if named {
            while let Some(c) = self.next() {
                if c == '>' {
                    break;
                }
            }
            let text = self.piece(from + 1);
            let name = text.trim_start_matches("?P<").trim_start_matches("?<").trim_end_matches('>');
            let fine = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
            if !text.ends_with('>') || !fine || text.starts_with("?<=") || text.starts_with("?<!") {
                return Err(format!("invalid named capture: `{}`", self.piece(from)));
            }
            self.out.push_str(&text.replacen("?<", "?P<", 1));
            return Ok(true);
        }
        while let Some(c) = self.next() {
            match c {
                'i' | 'm' | 's' | 'U' | '-' => {}
                ':' | ')' => {
                    self.out.push_str(&self.piece(from + 1));
                    return Ok(c == ':');
                }
                _ => break,
            }
        }
        Err(format!("invalid or unsupported Perl syntax: `{}`", self.piece(from)))
    }

    /// What a backslash makes of the next character; whether it can be repeated.
    fn escape(&mut self) -> Result<bool, String> {
        let from = self.at - 1;
        let Some(c) = self.next() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str("[\\t\\n\\f\\r ]"),
            'S' => self.out.push_str("[^\\t\\n\\f\\r ]"),
            'b' => self.out.push_str("(?-u:\\b)"),
            'B' => self.out.push_str("(?:(?-u:\\b)|)"),
            'A' => self.out.push_str("\\A"),
            'z' => self.out.push_str("\\z"),
            'C' => self.out.push_str("(?s:.)"),
            'Q' => {
                while let Some(c) = self.next() {
                    if c == '\\' && self.peek() == Some('E') {
                        self.at += 1;
                        break;
                    }
                    self.out.push_str(&regex::escape(&c.to_string()));
                }
            }
            'p' | 'P' => {
                let class = self.unicode(c, from)?;
                self.out.push_str(&class);
            }
            _ => {
                let literal = self.escaped(c, from)?;
                self.out.push_str(&regex::escape(&literal.to_string()));
            }
        }
        Ok(true)
    }

    /// `\pN`, `\p{Greek}`.
    fn unicode(&mut self, c: char, from: usize) -> Result<String, String> {
        let invalid = |this: &Self| format!("invalid character class range: `{}`", this.piece(from));
        match self.next() {
            Some('{') => {
                while let Some(c) = self.next() {
                    if c == '}' {
                        let text = self.piece(from + 2);
                        let name = text.trim_start_matches('{').trim_start_matches('^').trim_end_matches('}');
                        if name.contains(['=', ':', '!']) || name.is_empty() {
                            return Err(invalid(self));
                        }
                        return Ok(format!("\\{c}{text}", c = c_of(c, &self.chars, from)));
                    }
                }
                Err(invalid(self))
            }
            Some(letter) if letter.is_ascii_alphabetic() => Ok(format!("\\{c}{letter}")),
            _ => Err(invalid(self)),
        }
    }

    /// A character that is written with a backslash.
    fn escaped(&mut self, c: char, from: usize) -> Result<char, String> {
        let invalid = |this: &Self| format!("invalid escape sequence: `{}`", this.piece(from));
        let digits = |this: &mut Self, most: usize, radix: u32, start: u32| {
            let mut value = start;
            for _ in 0..most {
                let Some(d) = this.peek().and_then(|c| c.to_digit(radix)) else { break };
                value = value * radix + d;
                this.at += 1;
            }
            value
        };
        Ok(match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0' => char::from_u32(digits(self, 2, 8, 0)).ok_or_else(|| invalid(self))?,
            '1'..='7' if self.peek().is_some_and(|c| ('0'..='7').contains(&c)) => {
                let first = c.to_digit(8).unwrap_or(0);
                char::from_u32(digits(self, 2, 8, first)).ok_or_else(|| invalid(self))?
            }
            'x' if self.peek() == Some('{') => {
                self.at += 1;
                let value = digits(self, 6, 16, 0);
                if self.next() != Some('}') {
                    return Err(invalid(self));
                }
                char::from_u32(value).ok_or_else(|| invalid(self))?
            }
            'x' => {
                let start = self.at;
                let value = digits(self, 2, 16, 0);
                if self.at - start != 2 {
                    self.at = (start + 2).min(self.chars.len());
                    return Err(invalid(self));
                }
                char::from_u32(value).ok_or_else(|| invalid(self))?
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(invalid(self)),
        })
    }

    /// A class in brackets.
    fn class(&mut self) -> Result<(), String> {
        let from = self.at - 1;
        self.out.push('[');
        if self.peek() == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = self.next() else {
                return Err(format!("missing closing ]: `{}`", self.rest(from)));
            };
            match c {
                ']' if !first => break,
                '[' if self.peek() == Some(':') => self.posix()?,
                '\\' => self.class_escape()?,
                '-' => self.out.push_str("\\-"),
                c => self.class_char(c),
            }
            first = false;
            self.range(from)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn class_char(&mut self, c: char) {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            self.out.push('\\');
            if c == ' ' || c.is_ascii_control() {
                self.out.pop();
            }
        }
        self.out.push(c);
    }

    /// The end of a range whose beginning was just written, when one follows.
    fn range(&mut self, from: usize) -> Result<(), String> {
        if self.peek() != Some('-') || matches!(self.chars.get(self.at + 1), None | Some(']')) {
            return Ok(());
        }
        // After a class there is no range: the dash means itself.
        if self.out.ends_with(']') && !self.out.ends_with("\\]") {
            return Ok(());
        }
        self.at += 1;
        self.out.push('-');
        match self.next() {
            Some('\\') => {
                let at = self.at - 1;
                match self.next() {
                    Some(c) if !"dDwWsSpP".contains(c) => {
                        let c = self.escaped(c, at)?;
                        self.class_char(c);
                        Ok(())
                    }
                    _ => Err(format!("invalid character class range: `{}`", self.piece(from))),
                }
            }
            Some(c) => {
                self.class_char(c);
                Ok(())
            }
            None => Err(format!("missing closing ]: `{}`", self.rest(from))),
        }
    }

    fn class_escape(&mut self) -> Result<(), String> {
        let from = self.at - 1;
        let Some(c) = self.next() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str("[\\t\\n\\f\\r ]"),
            'S' => self.out.push_str("[^\\t\\n\\f\\r ]"),
            'p' | 'P' => {
                let class = self.unicode(c, from)?;
                self.out.push_str(&format!("[{class}]"));
            }
            _ => {
                let c = self.escaped(c, from)?;
                self.class_char(c);
            }
        }
        Ok(())
    }

    /// `[:alpha:]`
    fn posix(&mut self) -> Result<(), String> {
        let from = self.at - 1;
        let text = self.rest(from);
        let Some(end) = text.find(":]") else {
            self.out.push_str("\\[");
            return Ok(());
        };
        let name = &text[..end + 2];
        let bare = name.trim_matches(|c| "[:^]".contains(c));
        let known = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
            "space", "upper", "word", "xdigit",
        ];
        if !known.contains(&bare) {
            return Err(format!("invalid character class range: `{name}`"));
        }
        self.out.push_str(name);
        self.at = from + name.chars().count();
        Ok(())
    }
}

/// The letter after the backslash at `from`.
fn c_of(_: char, chars: &[char], from: usize) -> char {
    chars.get(from + 1).copied().unwrap_or('p')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_upstream_matches() {
        for (pattern, text, want) in [
            (r"^\d+$", "123", true),
            (r"^\d+$", "١٢٣", false),
            (r"^\w+$", "é", false),
            (r"^[\w-]+$", "a-b_1", true),
            (r"^[^\W]+$", "a1", true),
            (r"a{,2}", "a{,2}", true),
            (r"x{2,3}", "xx", true),
            (r"[[:alpha:]]+", "abc", true),
            (r"[a[b]", "[", true),
            (r"[a&&b]", "&", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\x41\x{42}", "AB", true),
            (r"(?i)abc", "ABC", true),
            (r"^a.c$", "aéc", true),
            (r"[]a]", "]", true),
            (r"[a\]b]+", "]", true),
            (r"\p{Greek}", "α", true),
            (r"\pL+", "é", true),
            (r"^[ -~]$", "~", true),
            (r"(?P<n>a)", "a", true),
            (r"(?<n>a)", "a", true),
            (r"\bfoo\b", "a foo b", true),
            (r"a|", "", true),
        ] {
            let regex = compile(pattern);
            assert_eq!(regex.map(|r| r.is_match(text)), Ok(want), "{pattern} {text}");
        }
    }

    #[test]
    fn refused() {
        for (pattern, why) in [
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("[a", "missing closing ]: `[a`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a**", "invalid nested repetition operator: `**`"),
            (r"a\", "trailing backslash at end of expression: ``"),
            (r"\8", r"invalid escape sequence: `\8`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{2,1}", "invalid repeat count: `{2,1}`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ] {
            let error = compile(pattern).map(|_| ()).map_err(|e| e.to_string());
            assert_eq!(error, Err(format!("error parsing regexp: {why}")), "{pattern}");
        }
    }
}

//! Reads JSON text token by token. Error texts are those of Go's decoder.
//! It must never look further ahead than one token.

use std::borrow::Cow;

use super::DecodeError;

/// A position in JSON text.
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// A number as written.
pub enum Number<'a> {
    Int(i64),
    /// Not an integer of 64 bits.
    Other(&'a str),
}

fn quote(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => format!("{c:?}"),
    }
}

impl<'a> Lexer<'a> {
    pub const fn new(text: &'a str) -> Self {
        Lexer { text, at: 0 }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// An error about the character here.
    #[cold]
    pub fn unexpected(&self, context: &str) -> DecodeError {
        match self.text.get(self.at..).and_then(|t| t.chars().next()) {
            Some(c) => DecodeError::Syntax(format!("invalid character {} {context}", quote(c))),
            None => DecodeError::Syntax("unexpected end of JSON input".to_owned()),
        }
    }

    /// The next byte that is not white space, 0 at the end.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        let b = self.bytes();
        while let Some(&c) = b.get(self.at) {
            if !matches!(c, b' ' | b'\n' | b'\t' | b'\r') {
                return c;
            }
            self.at += 1;
        }
        0
    }

    /// Passes the byte that [`Lexer::peek`] saw.
    #[inline]
    pub fn bump(&mut self) {
        self.at += 1;
    }

    pub const fn position(&self) -> usize {
        self.at
    }

    /// The text from `start` to here.
    pub fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    pub fn end(&mut self) -> Result<(), DecodeError> {
        if self.peek() == 0 && self.at >= self.text.len() {
            Ok(())
        } else {
            Err(self.unexpected("after top-level value"))
        }
    }

    pub fn literal(&mut self, word: &'static str) -> Result<(), DecodeError> {
        for want in word.bytes() {
            if self.bytes().get(self.at) != Some(&want) {
                let context = format!("in literal {word} (expecting {})", quote(char::from(want)));
                return Err(self.unexpected(&context));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// After `{` or a comma: the key and its colon.
    pub fn key(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        if self.peek() != b'"' {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        let key = self.string()?;
        if self.peek() != b':' {
            return Err(self.unexpected("after object key"));
        }
        self.bump();
        Ok(key)
    }

    /// A string at its opening quote.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.at += 1;
        let start = self.at;
        let b = self.bytes();
        while let Some(&c) = b.get(self.at) {
            match c {
                b'"' => {
                    let s = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(s));
                }
                b'\\' => return self.escaped(start).map(Cow::Owned),
                0..0x20 => return Err(self.unexpected("in string literal")),
                _ => self.at += 1,
            }
        }
        Err(self.unexpected("in string literal"))
    }

    #[cold]
    fn escaped(&mut self, start: usize) -> Result<String, DecodeError> {
        let mut out = self.text[start..self.at].to_owned();
        let b = self.bytes();
        loop {
            let run = self.at;
            while b.get(self.at).is_some_and(|c| !matches!(c, b'"' | b'\\' | 0..0x20)) {
                self.at += 1;
            }
            out.push_str(&self.text[run..self.at]);
            match b.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut out)?;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), DecodeError> {
        let c = match self.bytes().get(self.at) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                out.push(self.unicode()?);
                return Ok(());
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        out.push(c);
        Ok(())
    }

    /// Four hexadecimal digits, or two such escapes of a surrogate pair. Half a pair is U+FFFD, as in Go.
    fn unicode(&mut self) -> Result<char, DecodeError> {
        let high = self.hex()?;
        if (0xD800..0xDC00).contains(&high) && self.bytes().get(self.at..self.at + 2) == Some(b"\\u") {
            let back = self.at;
            self.at += 2;
            let low = self.hex()?;
            if (0xDC00..0xE000).contains(&low) {
                let c = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                return Ok(char::from_u32(c).unwrap_or('\u{FFFD}'));
            }
            self.at = back;
        }
        Ok(char::from_u32(high).unwrap_or('\u{FFFD}'))
    }

    fn hex(&mut self) -> Result<u32, DecodeError> {
        let mut n = 0;
        for _ in 0..4 {
            let digit = self.bytes().get(self.at).and_then(|c| char::from(*c).to_digit(16));
            let Some(d) = digit else {
                return Err(self.unexpected("in \\u hexadecimal character escape"));
            };
            n = n * 16 + d;
            self.at += 1;
        }
        Ok(n)
    }

    /// A number at its first character.
    pub fn number(&mut self) -> Result<Number<'a>, DecodeError> {
        let b = self.bytes();
        let start = self.at;
        if b.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match b.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        let mut integer = true;
        if b.get(self.at) == Some(&b'.') {
            integer = false;
            self.at += 1;
            self.need_digits("after decimal point in numeric literal")?;
        }
        if matches!(b.get(self.at), Some(b'e' | b'E')) {
            integer = false;
            self.at += 1;
            if matches!(b.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.need_digits("in exponent of numeric literal")?;
        }
        let text = &self.text[start..self.at];
        if integer && let Ok(i) = text.parse() {
            return Ok(Number::Int(i));
        }
        Ok(Number::Other(text))
    }

    fn digits(&mut self) {
        while self.bytes().get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn need_digits(&mut self, context: &str) -> Result<(), DecodeError> {
        let before = self.at;
        self.digits();
        if self.at == before { Err(self.unexpected(context)) } else { Ok(()) }
    }
}

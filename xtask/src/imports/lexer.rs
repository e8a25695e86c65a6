//! Rust source as words and marks, without comments, literals and tests. It must never fail: it reads what the
//! compiler has taken, and what it does not know it passes over.

/// One word or mark; `::` is one mark, every other mark is one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Word(String),
    Path,
    Mark(char),
}

impl Token {
    /// Whether it is this mark.
    pub fn is(&self, mark: char) -> bool {
        *self == Token::Mark(mark)
    }

    /// The text of a word.
    pub fn word(&self) -> Option<&str> {
        match self {
            Token::Word(w) => Some(w),
            _ => None,
        }
    }
}

/// The tokens of a file; what is only compiled for tests is left out.
pub fn tokens(text: &str) -> Vec<Token> {
    without_tests(&lex(text))
}

fn lex(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let (c, next) = (chars[at], chars.get(at + 1).copied().unwrap_or(' '));
        match (c, next) {
            ('/', '/') => at = end_of_line(&chars, at),
            ('/', '*') => at = end_of_comment(&chars, at),
            ('"', _) => at = end_of_text(&chars, at + 1),
            ('\'', _) => at = end_of_quote(&chars, at),
            (':', ':') => {
                out.push(Token::Path);
                at += 2;
            }
            _ if c.is_alphabetic() || c == '_' => {
                let from = at;
                while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                    at += 1;
                }
                match raw_text(&chars, from, at) {
                    Some(end) => at = end,
                    None => out.push(Token::Word(chars[from..at].iter().collect())),
                }
            }
            _ => {
                if !c.is_whitespace() {
                    out.push(Token::Mark(c));
                }
                at += 1;
            }
        }
    }
    out
}

fn end_of_line(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len())
}

fn end_of_comment(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// Behind the closing quote of a text whose first character is at `at`.
fn end_of_text(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Behind a character literal, or behind the quote of a lifetime.
fn end_of_quote(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        return (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1);
    }
    if chars.get(at + 2) == Some(&'\'') { at + 3 } else { at + 1 }
}

/// Behind a raw (or byte) text whose prefix is the word `from..at`; `None` when the word is a word.
fn raw_text(chars: &[char], from: usize, at: usize) -> Option<usize> {
    let prefix: String = chars[from..at].iter().collect();
    if !matches!(prefix.as_str(), "r" | "br" | "cr") {
        return None;
    }
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let mut i = at + hashes + 1;
    while i < chars.len() {
        let closed = chars[i] == '"' && (1..=hashes).all(|h| chars.get(i + h) == Some(&'#'));
        if closed {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(chars.len())
}

/// Leaves out every item behind `#[cfg(test)]`.
fn without_tests(all: &[Token]) -> Vec<Token> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if all[at].is('#') && all.get(at + 1).is_some_and(|t| t.is('[')) {
            let end = behind_pair(all, at + 1, '[', ']');
            let words: Vec<&str> = all[at..end].iter().filter_map(Token::word).collect();
            if words == ["cfg", "test"] {
                at = behind_item(all, end);
                continue;
            }
        }
        out.push(all[at].clone());
        at += 1;
    }
    out
}

/// Behind the mark that closes the one at `at`.
fn behind_pair(all: &[Token], at: usize, open: char, close: char) -> usize {
    let mut depth = 0;
    for (i, token) in all.iter().enumerate().skip(at) {
        if token.is(open) {
            depth += 1;
        } else if token.is(close) {
            depth -= 1;
            if depth == 0 {
                return i + 1;
            }
        }
    }
    all.len()
}

fn behind_item(all: &[Token], mut at: usize) -> usize {
    while all.get(at).is_some_and(|t| t.is('#')) {
        at = behind_pair(all, at + 1, '[', ']');
    }
    let is_use =
        all.iter().skip(at).filter_map(Token::word).find(|w| *w != "pub" && *w != "crate") == Some("use");
    for (i, token) in all.iter().enumerate().skip(at) {
        if token.is(';') {
            return i + 1;
        }
        if token.is('{') && !is_use {
            return behind_pair(all, i, '{', '}');
        }
    }
    all.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_literals_and_tests_are_no_tokens() {
        let text = "use a::b; // use x\n/* use /* y */ z */ const C: &'static str = \"use q\"; \
                    let r = r#\"use \"w\" \"#; let c = '\\''; #[cfg(test)]\nmod tests { use t; fn f() {} } fn g() {}";
        let words: Vec<String> = tokens(text).iter().filter_map(|t| t.word().map(str::to_owned)).collect();
        let want = "use a b const C static str let r let c fn g";
        assert_eq!(words.join(" "), want);
    }
}

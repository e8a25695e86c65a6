//! What a quoted string or byte string says. It must never accept what the lexer does not.
// k8s: github.com/google/cel-go parser/unescape.go

/// A string literal with its quotes, as text.
///
/// # Errors
/// Upstream's words about what is wrong with it.
pub fn string(text: &[char]) -> Result<String, &'static str> {
    let mut out = String::new();
    each(text, |piece| {
        match piece {
            Piece::Char(c) => out.push(c),
            Piece::Byte(b) => out.push(char::from(b)),
            Piece::Point(p) => out.push(char::from_u32(p).ok_or("invalid unicode code point")?),
        }
        Ok(())
    })?;
    Ok(out)
}

/// A byte string literal with its quotes, without its `b`.
///
/// # Errors
/// Upstream's words about what is wrong with it.
pub fn bytes(text: &[char]) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::new();
    each(text, |piece| {
        match piece {
            Piece::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Piece::Byte(b) => out.push(b),
            Piece::Point(_) => return Err("unable to unescape string"),
        }
        Ok(())
    })?;
    Ok(out)
}

enum Piece {
    Char(char),
    /// `\x41`, `\101`: a byte in byte strings, a code point elsewhere.
    Byte(u8),
    /// `\u0041`
    Point(u32),
}

fn each(text: &[char], mut f: impl FnMut(Piece) -> Result<(), &'static str>) -> Result<(), &'static str> {
    let raw = matches!(text.first(), Some('r' | 'R'));
    let text = &text[usize::from(raw)..];
    let quote = *text.first().ok_or("unable to unescape string")?;
    let quotes = if text.len() >= 6 && text.starts_with(&[quote; 3]) { 3 } else { 1 };
    let body = text.get(quotes..text.len().saturating_sub(quotes)).ok_or("unable to unescape string")?;
    let mut at = 0;
    while let Some(c) = body.get(at) {
        match c {
            '\r' => {
                f(Piece::Char('\n'))?;
                at += 1 + usize::from(body.get(at + 1) == Some(&'\n'));
            }
            '\\' if !raw => {
                let (piece, len) = escaped(&body[at..])?;
                f(piece)?;
                at += len;
            }
            c => {
                f(Piece::Char(*c))?;
                at += 1;
            }
        }
    }
    Ok(())
}

fn escaped(text: &[char]) -> Result<(Piece, usize), &'static str> {
    const BAD: &str = "unable to unescape string";
    let number = |from: usize, digits: usize, radix: u32| {
        let digits = text.get(from..from + digits).ok_or(BAD)?;
        digits.iter().try_fold(0u32, |n, c| Some(n * radix + c.to_digit(radix)?)).ok_or(BAD)
    };
    let c = *text.get(1).ok_or(BAD)?;
    let plain = match c {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '\'' | '"' | '`' | '?' => c,
        'x' | 'X' => return Ok((Piece::Byte(number(2, 2, 16)? as u8), 4)),
        'u' => return Ok((Piece::Point(number(2, 4, 16)?), 6)),
        'U' => return Ok((Piece::Point(number(2, 8, 16)?), 10)),
        '0'..='3' => return Ok((Piece::Byte(number(1, 3, 8)? as u8), 4)),
        _ => return Err(BAD),
    };
    Ok((Piece::Char(plain), 2))
}

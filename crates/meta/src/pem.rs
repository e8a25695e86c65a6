//! Blocks of PEM in a text, found as Go's `encoding/pem` finds them, since that is what upstream reads certificates
//! with: what lies between blocks is skipped, and so is what is no whole block. It never looks into a block.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "\n-----END ";
const DASHES: &str = "-----";
/// Characters of base64 on a line.
const LINE: usize = 64;

/// Standard base64, whose last character may say more than there is, as Go takes it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// `CERTIFICATE`.
    pub label: String,
    /// Whether lines of the form `Key: value` stand before the content.
    pub has_headers: bool,
    pub contents: Vec<u8>,
}

/// All whole blocks of a text, in the order in which they stand there.
#[must_use]
pub fn blocks(text: &str) -> Blocks<'_> {
    Blocks { rest: text }
}

/// See [`blocks`].
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    rest: &'a str,
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    /// Looks for an end first, and then for the last beginning before it, so that a text is walked through once,
    /// whatever stands in it.
    fn next(&mut self) -> Option<Block> {
        loop {
            let end = self.rest.find(END)?;
            let before = &self.rest[..end];
            self.rest = &self.rest[end + END.len()..];
            let Some(begin) = before.rfind(BEGIN) else { continue };
            if begin > 0 && before.as_bytes()[begin - 1] != b'\n' {
                continue;
            }
            if let Some(block) = block(&before[begin + BEGIN.len()..], self.rest) {
                return Some(block);
            }
        }
    }
}

/// The block between what follows the word of its beginning and what follows the word of its end.
fn block(head: &str, trailer: &str) -> Option<Block> {
    let (label, mut body) = head.split_once('\n').unwrap_or((head, ""));
    let label = label.trim_end().strip_suffix(DASHES)?;
    let trailer = trailer.strip_prefix(label)?.strip_prefix(DASHES)?;
    if !trailer.lines().next().unwrap_or("").trim_end().is_empty() {
        return None;
    }
    let mut has_headers = false;
    loop {
        let (line, next) = body.split_once('\n').unwrap_or((body, ""));
        if !line.contains(':') {
            break;
        }
        has_headers = true;
        body = next;
    }
    let text: String = body.chars().filter(|c| !matches!(c, ' ' | '\t' | '\r' | '\n')).collect();
    let contents = BASE64.decode(text).ok()?;
    Some(Block { label: label.to_owned(), has_headers, contents })
}

/// A block as text.
#[must_use]
pub fn encode(label: &str, contents: &[u8]) -> String {
    let text = BASE64.encode(contents);
    let mut out = format!("{BEGIN}{label}{DASHES}\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = next;
    }
    out.push_str(&END[1..]);
    out.push_str(label);
    out.push_str(DASHES);
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, bool, Vec<u8>)> {
        blocks(text).map(|b| (b.label, b.has_headers, b.contents)).collect()
    }

    #[test]
    fn finds_what_go_finds() {
        let one = |label: &str, headers| vec![(label.to_owned(), headers, b"abc".to_vec())];
        let cases = [
            ("-----BEGIN A-----\nYWJj\n-----END A-----\n", one("A", false)),
            ("-----BEGIN A B-----\r\nYW\r\nJj\r\n-----END A B-----", one("A B", false)),
            ("before\n-----BEGIN A-----\nYWJj\n-----END A----- \t\nafter", one("A", false)),
            ("-----BEGIN A-----\nk: v\n\nYWJj\n-----END A-----\n", one("A", true)),
            // A beginning without an end does not take the block after it along.
            ("-----BEGIN A-----\n-----BEGIN A-----\n YWJj \n-----END A-----\n", one("A", false)),
            ("-----BEGIN A-----\n-----END A-----\n", vec![("A".to_owned(), false, vec![])]),
            ("x-----BEGIN A-----\nYWJj\n-----END A-----\n", vec![]),
            ("-----BEGIN A-----\nYWJj\n-----END B-----\n", vec![]),
            ("-----BEGIN A-----\nYWJj\n-----END A-----x\n", vec![]),
            ("-----BEGIN A-----\nYWJj!\n-----END A-----\n", vec![]),
            ("-----BEGIN A-----\nYWJj", vec![]),
            ("", vec![]),
        ];
        for (text, want) in cases {
            assert_eq!(found(text), want, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let long: Vec<u8> = (0..100).collect();
        let text = encode("A", &long) + &encode("B", b"abc") + &encode("C", b"");
        assert!(text.lines().all(|l| l.len() <= LINE), "{text}");
        let want = [("A", long), ("B", b"abc".to_vec()), ("C", vec![])];
        assert_eq!(found(&text), want.map(|(l, c)| (l.to_owned(), false, c)));
    }

    #[test]
    fn a_text_of_beginnings_is_walked_through_once() {
        let text = "-----BEGIN A-----\n".repeat(50_000) + "-----END B-----\n";
        assert_eq!(found(&text.repeat(2)), []);
    }
}

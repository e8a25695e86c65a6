//! The text of an expression, places in it, and what is wrong with it, printed as upstream prints it.
//! It must never hold more of a text than the parser let in.

use std::fmt;

/// A place in a source: line from 1, column from 0, in code points. Lines below 1 stand for "nowhere".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    pub line: i32,
    pub column: i32,
}

impl Location {
    /// Where what concerns the whole text is reported.
    pub const NONE: Location = Location { line: -1, column: -1 };
}

/// The text and where its lines begin.
#[derive(Clone, Debug, Default)]
pub struct Source {
    text: Box<[char]>,
    /// Offsets of the first code points of lines.
    lines: Vec<usize>,
}

// k8s: github.com/google/cel-go common/error.go maxSnippetLength
const MAX_SNIPPET_BYTES: usize = 16384;
// k8s: github.com/google/cel-go common/errors.go maxErrorsToReport
const MAX_ISSUES: usize = 100;

impl Source {
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text: Box<[char]> = text.chars().collect();
        let mut lines = vec![0];
        lines.extend(text.iter().enumerate().filter(|(_, c)| **c == '\n').map(|(at, _)| at + 1));
        Source { text, lines }
    }

    #[must_use]
    pub fn chars(&self) -> &[char] {
        &self.text
    }

    /// The place of the code point at `offset`.
    #[must_use]
    pub fn location(&self, offset: usize) -> Location {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line.saturating_sub(1)];
        Location {
            line: i32::try_from(line).unwrap_or(i32::MAX),
            column: i32::try_from(offset - start).unwrap_or(i32::MAX),
        }
    }

    fn line(&self, line: i32) -> Option<&[char]> {
        let at = usize::try_from(line).ok()?.checked_sub(1)?;
        let start = *self.lines.get(at)?;
        let end = self.lines.get(at + 1).map_or(self.text.len(), |next| next - 1);
        self.text.get(start..end)
    }
}

/// One thing that is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    pub location: Location,
    pub message: String,
}

/// What is wrong with an expression; printed as upstream does, each with its line of the source.
#[derive(Clone, Debug)]
pub struct Issues {
    source: Source,
    found: Vec<Issue>,
    more: usize,
}

impl Issues {
    #[must_use]
    pub fn new(source: &Source) -> Self {
        Issues { source: source.clone(), found: Vec::new(), more: 0 }
    }

    /// Adds one; those beyond a hundred are only counted.
    pub fn report(&mut self, location: Location, message: impl Into<String>) {
        if self.found.len() >= MAX_ISSUES {
            self.more += 1;
            return;
        }
        self.found.push(Issue { location, message: message.into() });
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    #[must_use]
    pub fn list(&self) -> &[Issue] {
        &self.found
    }

    /// `Ok(value)` when nothing was found.
    ///
    /// # Errors
    /// What was found, in the order of the text.
    pub fn or<T>(mut self, value: T) -> Result<T, Issues> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found.sort_by_key(|i| i.location);
        Err(self)
    }
}

impl std::error::Error for Issues {}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, issue) in self.found.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write_issue(&self.source, issue, f)?;
        }
        if self.more > 0 {
            write!(f, "\n{} more errors were truncated", self.more)?;
        }
        Ok(())
    }
}

/// The message, the line, and a mark below the place; wide characters get wide marks.
// k8s: github.com/google/cel-go common/error.go ToDisplayString
fn write_issue(source: &Source, issue: &Issue, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Location { line, column } = issue.location;
    write!(f, "ERROR: <input>:{line}:{}: {}", column + 1, issue.message)?;
    let Some(text) = source.line(line) else { return Ok(()) };
    if text.iter().map(|c| c.len_utf8()).sum::<usize>() > MAX_SNIPPET_BYTES {
        return Ok(());
    }
    f.write_str("\n | ")?;
    for c in text {
        write!(f, "{}", if *c == '\t' { ' ' } else { *c })?;
    }
    f.write_str("\n | ")?;
    let column = usize::try_from(column).unwrap_or(0);
    for c in text.iter().take(column) {
        f.write_str(if c.len_utf8() > 1 { "\u{ff0e}" } else { "." })?;
    }
    f.write_str(if text.get(column).is_some_and(|c| c.len_utf8() > 1) { "\u{ff3e}" } else { "^" })
}

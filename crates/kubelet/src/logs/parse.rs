//! The CRI log format: `<time> <stream> <P|F> <text>`.
// k8s: staging/src/k8s.io/cri-client/pkg/logs/logs.go

use jiff::Timestamp;

/// One line of a log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub time: &'a str,
    pub stderr: bool,
    /// The text goes on in the next line.
    pub partial: bool,
    pub text: &'a [u8],
}

/// Takes a line (without its end) apart; `None` when it is not one.
#[must_use]
pub fn line(raw: &[u8]) -> Option<Line<'_>> {
    let mut parts = raw.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(parts.next()?).ok().filter(|t| !t.is_empty())?;
    let stderr = match parts.next()? {
        b"stdout" => false,
        b"stderr" => true,
        _ => return None,
    };
    let tags = parts.next()?;
    let partial = match tags.split(|b| *b == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(Line { time, stderr, partial, text: parts.next().unwrap_or_default() })
}

impl Line<'_> {
    /// The line's time.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

/// The last lines of a raw log as plain text within limits.
#[must_use]
pub fn plain_tail(raw: &str, max_lines: usize, max_bytes: usize) -> String {
    let lines: Vec<&str> = raw.lines().collect();
    let mut out: Vec<u8> = Vec::new();
    for l in &lines[lines.len().saturating_sub(max_lines)..] {
        if let Some(l) = line(l.as_bytes()) {
            out.extend_from_slice(l.text);
            if !l.partial {
                out.push(b'\n');
            }
        }
    }
    let start = out.len().saturating_sub(max_bytes);
    String::from_utf8_lossy(&out[start..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let t = "2024-01-02T03:04:05.123456789Z";
        let cases: [(String, Option<(bool, bool, &str)>); 8] = [
            (format!("{t} stdout F hello world"), Some((false, false, "hello world"))),
            (format!("{t} stderr P half "), Some((true, true, "half "))),
            (format!("{t} stdout F "), Some((false, false, ""))),
            (format!("{t} stdout F"), Some((false, false, ""))),
            (format!("{t} stdout P:x a"), Some((false, true, "a"))),
            (format!("{t} other F a"), None),
            (format!("{t} stdout X a"), None),
            (String::new(), None),
        ];
        for (raw, want) in cases {
            let got = line(raw.as_bytes());
            assert_eq!(
                got.as_ref().map(|l| (l.stderr, l.partial, std::str::from_utf8(l.text).unwrap())),
                want,
                "{raw}"
            );
        }
        assert!(line(format!("{t} stdout F x").as_bytes()).unwrap().timestamp().is_some());
    }

    #[test]
    fn tails() {
        let raw = "t stdout F a\nt stdout P b\nt stdout F c\nbroken\n";
        assert_eq!(plain_tail(raw, 80, 100), "a\nbc\n");
        assert_eq!(plain_tail(raw, 80, 3), "bc\n");
        assert_eq!(plain_tail(raw, 2, 100), "c\n");
    }
}

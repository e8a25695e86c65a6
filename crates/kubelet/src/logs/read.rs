//! Reads one container's log file as text, with options; follows it across rotation.
//!
//! The reader is synchronous and pulls: [`Reader::more`] gives what is there and never waits. Waiting is the
//! caller's work.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::options::Options;
use super::parse;

const CHUNK: usize = 64 << 10;
/// A line longer than this is given in pieces, as if it were partial.
const LINE_LIMIT: usize = 1 << 20;

/// A log being read.
pub struct Reader {
    path: PathBuf,
    file: File,
    options: Options,
    /// Bytes read that are no whole line yet.
    rest: Vec<u8>,
    /// The text before was partial: the next one carries on its line.
    in_line: bool,
    left: Option<u64>,
}

impl Reader {
    /// Opens a log and goes to where the options begin.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path, options: Options) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if let Some(n) = options.tail_lines {
            let at = tail_start(&mut file, n)?;
            file.seek(SeekFrom::Start(at))?;
        }
        let left = options.limit_bytes;
        Ok(Reader { path: path.to_owned(), file, options, rest: Vec::new(), in_line: false, left })
    }

    /// The next text; empty at the end of what there is now.
    ///
    /// # Errors
    /// What the file system says.
    pub fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut buffer = vec![0; CHUNK];
        while out.is_empty() && self.left != Some(0) {
            let n = self.file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            self.rest.extend_from_slice(&buffer[..n]);
            self.take_lines(&mut out);
        }
        Ok(out)
    }

    /// Whether nothing more may be given.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// After the end of a file that was rotated away: goes on with the new one. True when it did.
    ///
    /// # Errors
    /// What the file system says.
    pub fn rotated(&mut self) -> io::Result<bool> {
        let Ok(now) = std::fs::metadata(&self.path) else { return Ok(false) };
        let have = self.file.metadata()?;
        if now.ino() == have.ino() && now.dev() == have.dev() {
            return Ok(false);
        }
        self.file = File::open(&self.path)?;
        self.rest.clear();
        Ok(true)
    }

    fn take_lines(&mut self, out: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.rest);
        let mut at = 0;
        while let Some(end) = rest[at..].iter().position(|b| *b == b'\n') {
            self.emit(&rest[at..at + end], out);
            at += end + 1;
        }
        self.rest = rest[at..].to_vec();
        if self.rest.len() > LINE_LIMIT {
            let long = std::mem::take(&mut self.rest);
            self.emit(&long, out);
        }
    }

    fn emit(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let Some(l) = parse::line(raw) else { return };
        if self.options.stderr_only.is_some_and(|e| e != l.stderr) {
            return;
        }
        if let Some(since) = self.options.since
            && l.timestamp().is_some_and(|t| t < since)
        {
            return;
        }
        let mut text = Vec::with_capacity(l.text.len() + 40);
        if self.options.timestamps && !self.in_line {
            text.extend_from_slice(l.time.as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(l.text);
        if !l.partial {
            text.push(b'\n');
        }
        self.in_line = l.partial;
        if let Some(left) = &mut self.left {
            text.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= text.len() as u64;
        }
        out.extend_from_slice(&text);
    }
}

/// Where the last `n` lines begin.
fn tail_start(file: &mut File, n: u64) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    if n == 0 {
        return Ok(end);
    }
    let mut at = end;
    let mut seen = 0u64;
    let mut buffer = vec![0; CHUNK];
    while at > 0 {
        let size = at.min(CHUNK as u64);
        at -= size;
        let piece = &mut buffer[..usize::try_from(size).unwrap_or(CHUNK)];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(piece)?;
        for i in (0..piece.len()).rev() {
            let position = at + i as u64;
            if piece[i] == b'\n' && position + 1 != end {
                seen += 1;
                if seen == n {
                    return Ok(position + 1);
                }
            }
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::testdir::TestDir;

    const LOG: &str = "2024-01-01T00:00:01.5Z stdout F one\n2024-01-01T00:00:02Z stderr F two\n\
        2024-01-01T00:00:03Z stdout P thr\n2024-01-01T00:00:03Z stdout F ee\n2024-01-01T00:00:04Z stdout F four\n";

    fn all(r: &mut Reader) -> String {
        let mut out = Vec::new();
        loop {
            let more = r.more().unwrap();
            if more.is_empty() {
                return String::from_utf8(out).unwrap();
            }
            out.extend(more);
        }
    }

    #[test]
    fn options_are_kept() {
        let dir = TestDir::new("logs");
        let path = dir.path.join("0.log");
        std::fs::write(&path, LOG).unwrap();
        let since = Some("2024-01-01T00:00:03Z".parse().unwrap());
        let cases = [
            (Options::default(), "one\ntwo\nthree\nfour\n"),
            (Options { tail_lines: Some(1), ..Options::default() }, "four\n"),
            (Options { tail_lines: Some(0), ..Options::default() }, ""),
            (Options { tail_lines: Some(99), ..Options::default() }, "one\ntwo\nthree\nfour\n"),
            (Options { since, ..Options::default() }, "three\nfour\n"),
            (Options { limit_bytes: Some(6), ..Options::default() }, "one\ntw"),
            (Options { stderr_only: Some(true), ..Options::default() }, "two\n"),
            (
                Options { timestamps: true, tail_lines: Some(3), ..Options::default() },
                "2024-01-01T00:00:03Z three\n2024-01-01T00:00:04Z four\n",
            ),
        ];
        for (o, want) in cases {
            assert_eq!(all(&mut Reader::open(&path, o.clone()).unwrap()), want, "{o:?}");
        }
    }

    #[test]
    fn following_crosses_rotation() {
        use std::io::Write;
        let dir = TestDir::new("follow");
        let path = dir.path.join("0.log");
        std::fs::write(&path, "t stdout F a\nt stdout F hal").unwrap();
        let mut r = Reader::open(&path, Options::default()).unwrap();
        assert_eq!(all(&mut r), "a\n");
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"f\n").unwrap();
        assert_eq!(all(&mut r), "half\n");
        assert!(!r.rotated().unwrap());
        std::fs::rename(&path, dir.path.join("0.log.1")).unwrap();
        std::fs::write(&path, "t stdout F new\n").unwrap();
        assert!(r.rotated().unwrap());
        assert_eq!(all(&mut r), "new\n");
    }
}

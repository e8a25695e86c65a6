//! What `corten doctor` and `corten status` have found: one line each, with what to do.

use anyhow::{Result, bail};

use crate::logging::say;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Good,
    /// It works, or will for now.
    Warning,
    Error,
}

/// One fact: about what, and what it is. Where it is not good, the text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub about: String,
    pub text: String,
}

/// Facts in the order in which they were found.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    pub fn good(&mut self, about: &str, text: impl Into<String>) {
        self.add(Level::Good, about, text);
    }

    pub fn warning(&mut self, about: &str, text: impl Into<String>) {
        self.add(Level::Warning, about, text);
    }

    pub fn error(&mut self, about: &str, text: impl Into<String>) {
        self.add(Level::Error, about, text);
    }

    fn add(&mut self, level: Level, about: &str, text: impl Into<String>) {
        // One line each, whatever a server or a program has said.
        let text: String = text.into();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.0.push(Finding { level, about: about.to_owned(), text });
    }

    /// Takes over what was found somewhere.
    pub fn add_all(&mut self, place: &str, others: Findings) {
        self.0.extend(others.0.into_iter().map(|f| Finding { about: format!("{place} {}", f.about), ..f }));
    }

    /// Prints a line for each.
    ///
    /// # Errors
    /// When one of them is an error.
    pub fn report(&self) -> Result<()> {
        let width = self.0.iter().map(|f| f.about.len()).max().unwrap_or_default();
        for finding in &self.0 {
            let word = match finding.level {
                Level::Good => "ok",
                Level::Warning => "warning",
                Level::Error => "error",
            };
            say(format_args!("{word:7}  {:width$}  {}", finding.about, finding.text));
        }
        match self.0.iter().filter(|f| f.level == Level::Error).count() {
            0 => Ok(()),
            1 => bail!("1 error"),
            n => bail!("{n} errors"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_fail() {
        let mut findings = Findings::default();
        findings.good("a", "fine");
        findings.warning("b", "soon\n  full");
        findings.report().unwrap();
        assert_eq!(findings.0[1].text, "soon full");
        findings.error("c", "gone");
        assert_eq!(findings.report().unwrap_err().to_string(), "1 error");
    }
}

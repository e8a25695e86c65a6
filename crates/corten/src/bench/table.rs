//! The table, printed row by row as the figures come.

use std::io::Write;

/// Prints rows: what, here, stock, ratio.
pub struct Table {
    out: Box<dyn Write + Send>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

/// How many times better `here` is than `mark`.
#[must_use]
pub fn ratio(here: f64, mark: f64, better: Better) -> f64 {
    match better {
        Better::More => here / mark.max(f64::MIN_POSITIVE),
        Better::Less => mark / here.max(f64::MIN_POSITIVE),
    }
}

/// A figure with as many digits as say something.
#[must_use]
pub fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl Table {
    /// A table on standard output.
    #[must_use]
    pub fn new() -> Self {
        let mut table = Table { out: Box::new(std::io::stdout()) };
        table.line("what", "here", "stock", "times better", "notes");
        table.line("---", "---", "---", "---", "---");
        table
    }

    fn line(&mut self, what: &str, here: &str, stock: &str, ratio: &str, note: &str) {
        // Whoever closed the pipe does not want the rest.
        let _ = writeln!(self.out, "| {what:<44} | {here:>14} | {stock:>9} | {ratio:>12} | {note} |");
        let _ = self.out.flush();
    }

    /// A figure beside the stock mark.
    pub fn compare(&mut self, what: &str, here: f64, unit: &str, mark: f64, better: Better, note: &str) {
        let times = format!("{}x", figure(ratio(here, mark, better)));
        self.line(what, &format!("{} {unit}", figure(here)), &figure(mark), &times, note);
    }

    /// A figure without a mark.
    pub fn plain(&mut self, what: &str, here: f64, unit: &str, note: &str) {
        self.line(what, &format!("{} {unit}", figure(here)), "", "", note);
    }

    /// Something that was not measured, and why.
    pub fn skipped(&mut self, what: &str, why: &str) {
        self.line(what, "not measured", "", "", why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_say_how_many_times_better() {
        assert!((ratio(20.0, 10.0, Better::More) - 2.0).abs() < 1e-9);
        assert!((ratio(5.0, 10.0, Better::Less) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn figures_have_three_digits() {
        for (value, want) in [(12_345.6, "12346"), (99.94, "99.9"), (1.234, "1.23"), (0.0, "0.00")] {
            assert_eq!(figure(value), want);
        }
    }
}

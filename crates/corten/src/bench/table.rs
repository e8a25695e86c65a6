//! The table, printed row by row as the figures come.

use std::collections::HashMap;
use std::io::Write;

/// A figure and what is noted with it.
type Figure = (f64, String);

/// Prints rows: what, here, stock, ratio.
pub struct Table {
    /// Where rows go; `None`: they are kept.
    out: Option<Box<dyn Write + Send>>,
    kept: HashMap<String, Figure>,
    /// Figures of stock programs in this run, by row; empty: the marks stand for them.
    stock: HashMap<String, Figure>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

impl Better {
    /// Rates are the better the higher, times and amounts the lower.
    fn of(unit: &str) -> Self {
        if unit == "/s" { Better::More } else { Better::Less }
    }
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
        let mut table = Table { out: Some(Box::new(std::io::stdout())), ..Table::silent() };
        table.line("what", "here", "stock", "times better", "notes");
        table.line("---", "---", "---", "---", "---");
        table
    }

    /// A table that prints nothing and keeps its rows, for the stock programs' figures.
    #[must_use]
    pub fn silent() -> Self {
        Table { out: None, kept: HashMap::new(), stock: HashMap::new() }
    }

    /// Compares the rows that come with those of `other`.
    pub fn compare_with(&mut self, other: Table) {
        self.stock = other.kept;
    }

    fn line(&mut self, what: &str, here: &str, stock: &str, ratio: &str, note: &str) {
        let Some(out) = &mut self.out else { return };
        // Whoever closed the pipe does not want the rest.
        let _ = writeln!(out, "| {what:<44} | {here:>14} | {stock:>9} | {ratio:>12} | {note} |");
        let _ = out.flush();
    }

    fn row(&mut self, what: &str, here: f64, unit: &str, mark: Option<(f64, Better)>, note: &str) {
        if self.out.is_none() {
            self.kept.insert(what.to_owned(), (here, note.to_owned()));
            return;
        }
        let shown = format!("{} {unit}", figure(here));
        let measured = self.stock.get(what).map(|(value, note)| (*value, Better::of(unit), note.clone()));
        let mark = measured.or(mark.map(|(value, better)| (value, better, String::new())));
        let Some((mark, better, theirs)) = mark else { return self.line(what, &shown, "", "", note) };
        let times = format!("{}x", figure(ratio(here, mark, better)));
        let note = if theirs.is_empty() { note.to_owned() } else { format!("{note}; stock: {theirs}") };
        self.line(what, &shown, &figure(mark), &times, &note);
    }

    /// A figure beside that of the stock programs, or their mark when they are not measured.
    pub fn compare(&mut self, what: &str, here: f64, unit: &str, mark: f64, better: Better, note: &str) {
        self.row(what, here, unit, Some((mark, better)), note);
    }

    /// A figure without a mark.
    pub fn plain(&mut self, what: &str, here: f64, unit: &str, note: &str) {
        self.row(what, here, unit, None, note);
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
    fn rows_of_this_run_take_the_place_of_marks() {
        let mut stock = Table::silent();
        stock.compare("get", 5.0, "/s", 1.0, Better::More, "");
        stock.plain("its memory", 30.0, "MiB", "");
        let (shared, mut table) = (Shared::default(), Table::silent());
        table.out = Some(Box::new(shared.clone()));
        table.compare_with(stock);
        table.compare("get", 20.0, "/s", 10.0, Better::More, "");
        table.plain("its memory", 10.0, "MiB", "");
        table.compare("update", 20.0, "/s", 10.0, Better::More, "");
        let text = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
        let ratios: Vec<&str> = text.lines().map(|line| line.split('|').nth(4).unwrap().trim()).collect();
        assert_eq!(ratios, ["4.00x", "3.00x", "2.00x"]);
    }

    #[derive(Clone, Default)]
    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn figures_have_three_digits() {
        for (value, want) in [(12_345.6, "12346"), (99.94, "99.9"), (1.234, "1.23"), (0.0, "0.00")] {
            assert_eq!(figure(value), want);
        }
    }
}

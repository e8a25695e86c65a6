//! Sets of indexes as intervals: `0-3,5`. Their size is that of their text, not of what they hold.
// k8s: pkg/controller/job/indexed_job_utils.go orderedIntervals

use std::fmt::Write as _;

/// First and last index of an interval.
type Interval = (i64, i64);

/// Indexes in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<Interval>);

impl Indexes {
    /// Reads the text form; what is not below `completions`, or no number, is left out.
    // k8s: indexed_job_utils.go parseIndexesFromString
    #[must_use]
    pub fn parse(text: &str, completions: i64) -> Self {
        let mut out = Indexes::default();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let mut limits = part.split('-');
            let Some(Ok(first)) = limits.next().map(str::parse::<i64>) else { continue };
            if first >= completions {
                break;
            }
            match limits.next().map(str::parse::<i64>) {
                None => out.push((first, first)),
                Some(Ok(last)) => out.push((first, last.min(completions - 1))),
                Some(Err(_)) => {}
            }
        }
        out
    }

    /// Puts an interval behind those that begin before it.
    fn push(&mut self, (first, last): Interval) {
        match self.0.last_mut() {
            Some(end) if first <= end.1 + 1 => end.1 = end.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    /// With more indexes, which are in order.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = i64>) -> Self {
        let mut other = Indexes::default();
        more.into_iter().for_each(|i| other.push((i, i)));
        self.merge(&other)
    }

    /// Those of both.
    #[must_use]
    pub fn merge(&self, other: &Indexes) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut out = Indexes::default();
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) if x.0 < y.0 => a.next(),
                (_, Some(_)) => b.next(),
                _ => a.next(),
            };
            match next {
                Some(interval) => out.push(*interval),
                None => return out,
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the index is among them.
    #[must_use]
    pub fn has(&self, index: i64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many of them are in `other`.
    // k8s: pkg/controller/job/success_policy.go matchSucceededIndexesRule
    #[must_use]
    pub fn overlap(&self, other: &Indexes) -> i64 {
        let (mut i, mut j, mut n) = (0, 0, 0);
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            n += (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
            i += usize::from(a.1 <= b.1);
            j += usize::from(b.1 <= a.1);
        }
        n
    }

    /// The first `count` indexes below `completions` that are not among them.
    // k8s: indexed_job_utils.go firstPendingIndexes
    #[must_use]
    pub fn missing(&self, count: usize, completions: i64) -> Vec<i64> {
        let mut out = Vec::with_capacity(count.min(1024));
        let mut next = 0;
        for (first, last) in self.0.iter().copied().chain([(completions, completions)]) {
            let room = count - out.len();
            out.extend((next..first.min(completions)).take(room));
            next = next.max(last + 1);
        }
        out
    }

    /// The text form.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (first, last) in &self.0 {
            let comma = if out.is_empty() { "" } else { "," };
            let _ = match last - first {
                0 => write!(out, "{comma}{first}"),
                1 => write!(out, "{comma}{first},{last}"),
                _ => write!(out, "{comma}{first}-{last}"),
            };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, completions, want, total) in [
            ("", 10, "", 0),
            ("0-3,5", 10, "0-3,5", 5),
            ("0,1,2,4,5", 10, "0-2,4,5", 5),
            ("0-3,5-9", 7, "0-3,5,6", 6),
            ("8,9", 5, "", 0),
            ("x,1,2-y,4", 10, "1,4", 2),
            ("0-2147483646", 2_147_483_647, "0-2147483646", 2_147_483_647),
        ] {
            let got = Indexes::parse(text, completions);
            assert_eq!((got.text().as_str(), got.total()), (want, total), "{text}");
        }
    }

    #[test]
    fn sets() {
        let set = Indexes::parse("0-3,5,8-9", 20);
        assert_eq!(set.with([4, 7, 12]).text(), "0-5,7-9,12");
        assert_eq!(set.merge(&Indexes::parse("2-6,10", 20)).text(), "0-6,8-10");
        assert_eq!([3, 4, 8, 10].map(|i| set.has(i)), [true, false, true, false]);
        assert_eq!(set.missing(3, 20), [4, 6, 7]);
        assert_eq!(set.missing(9, 11), [4, 6, 7, 10]);
        assert_eq!(Indexes::default().missing(2, i64::from(i32::MAX)), [0, 1]);
        assert_eq!(set.overlap(&Indexes::parse("1-8", 20)), 5);
    }
}

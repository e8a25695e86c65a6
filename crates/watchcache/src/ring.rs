//! The recent changes of one resource, bounded in number and in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::change::Change;

/// How many of the last changes keep their other forms, and how many bytes these may have in one form.
const RECENT_CHANGES: usize = 512;
const RECENT_BYTES: usize = 2 << 20;

pub(crate) struct Ring {
    changes: VecDeque<Arc<Change>>,
    retained_bytes: usize,
    /// The last so many changes keep their other forms.
    recent: usize,
    recent_bytes: usize,
    /// Every change with a revision greater than this one is in the ring.
    start: u64,
    limit_changes: usize,
    limit_bytes: usize,
}

impl Ring {
    pub(crate) fn new(start: u64, limit_changes: usize, limit_bytes: usize) -> Ring {
        Ring {
            changes: VecDeque::new(),
            retained_bytes: 0,
            recent: 0,
            recent_bytes: 0,
            start,
            limit_changes,
            limit_bytes,
        }
    }

    /// The oldest revision whose successors are all here.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn push(&mut self, change: Arc<Change>) {
        self.retained_bytes += change.retained_bytes();
        self.recent += 1;
        self.recent_bytes += change.encoded_bytes();
        self.changes.push_back(change);
        while self.recent > RECENT_CHANGES || self.recent_bytes > RECENT_BYTES {
            self.forget_encoded();
        }
        while self.changes.len() > self.limit_changes || self.retained_bytes > self.limit_bytes {
            if self.recent == self.changes.len() {
                self.forget_encoded();
            }
            let Some(first) = self.changes.pop_front() else { return };
            self.retained_bytes -= first.retained_bytes();
            self.start = first.revision;
        }
    }

    /// The oldest recent change is not recent any more.
    fn forget_encoded(&mut self) {
        if let Some(change) = self.changes.get(self.changes.len() - self.recent) {
            change.forget_encoded();
            self.recent_bytes -= change.encoded_bytes();
            self.recent -= 1;
        }
    }

    /// Changes with a revision greater than `revision`, in order. When a transaction was cut in two by
    /// the ring's end, `start` is its revision and its rest is not asked for.
    pub(crate) fn after(&self, revision: u64) -> impl DoubleEndedIterator<Item = &Arc<Change>> {
        let first = self.changes.partition_point(|change| change.revision <= revision);
        self.changes.range(first..)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::change::WatchEventType;
    use crate::entry::Entry;
    use crate::facts::Facts;

    fn change(revision: u64, bytes: usize) -> Arc<Change> {
        let object = format!(r#"{{"metadata":{{}},"data":"{}"}}"#, "x".repeat(bytes));
        let kind = WatchEventType::Modified;
        let entry = || {
            let key = "/registry/pods/ns/a".into();
            Arc::new(Entry::new(key, 15, object.as_bytes(), revision, kind, Facts::default()))
        };
        Arc::new(Change::new(revision, Some(entry()), Some(entry())))
    }

    /// What a second watcher gets when the first one has made "1".
    fn second(change: &Change) -> Bytes {
        let kind = WatchEventType::Modified;
        change.encoded(kind, 7, || Bytes::from_static(b"1"));
        change.encoded(kind, 7, || Bytes::from_static(b"2"))
    }

    #[test]
    fn it_is_bounded_in_number_and_in_bytes() {
        let mut ring = Ring::new(0, 3, 1 << 20);
        for revision in 1..=5 {
            ring.push(change(revision, 10));
        }
        assert_eq!((ring.start(), ring.after(0).count()), (2, 3));
        for revision in 6..=8 {
            ring.push(change(revision, 600_000));
        }
        assert_eq!((ring.start(), ring.after(0).count()), (7, 1));
        ring.push(change(9, 2 << 20));
        assert_eq!((ring.start(), ring.after(0).count()), (9, 0), "one that is too large alone is not kept");
        ring.push(change(10, 10));
        assert_eq!((ring.start(), ring.after(0).count()), (9, 1));
        assert_eq!((ring.recent, ring.recent_bytes), (1, ring.changes[0].encoded_bytes()));
    }

    #[test]
    fn other_forms_are_made_once_while_a_change_is_recent() {
        let mut ring = Ring::new(0, 10_000, usize::MAX);
        let all: Vec<_> = (1..=RECENT_CHANGES as u64 + 5).map(|revision| change(revision, 100)).collect();
        assert_eq!(second(&all[0]), "1");
        all.iter().for_each(|change| ring.push(change.clone()));
        assert_eq!(second(&all[4]), "2", "not recent any more");
        assert_eq!(second(&all[5]), "1");
        let deleted = all[5].encoded(WatchEventType::Deleted, 7, || Bytes::from_static(b"3"));
        assert_eq!(deleted, "3", "another event");
        assert_eq!(all[5].encoded(WatchEventType::Modified, 8, || Bytes::from_static(b"4")), "4");
        ring.push(change(9999, RECENT_BYTES));
        assert_eq!(second(&all[RECENT_CHANGES]), "2", "bounded in bytes");
    }
}

//! The recent changes of one resource, numbered one after the other, bounded in number, bytes and age. Watchers
//! read it at a pace of their own: it must never know them, and whoever falls behind its beginning is too slow.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::change::Change;

/// How many of the last changes keep their other forms, and how many bytes these may have in one form.
const RECENT_CHANGES: usize = 512;
const RECENT_BYTES: usize = 2 << 20;
/// So many of the last changes stay however old they are, as far as they are small: a client that comes back
/// after a while to a resource that hardly changes need not list it again.
// k8s: staging/src/k8s.io/apiserver/pkg/storage/cacher/watch_cache.go defaultLowerBoundCapacity
const KEPT_CHANGES: usize = 100;
const KEPT_BYTES: usize = 64 << 10;

pub(crate) struct Ring {
    changes: VecDeque<Arc<Change>>,
    /// Number of the oldest change that is here.
    first: u64,
    retained_bytes: usize,
    /// The last so many changes keep their other forms.
    recent: usize,
    recent_bytes: usize,
    /// Every change with a revision greater than this one is in the ring.
    start: u64,
    limit_changes: usize,
}

/// The reader's place is not in the ring any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Ring {
    pub(crate) fn new(start: u64, limit_changes: usize) -> Ring {
        Ring {
            changes: VecDeque::new(),
            first: 0,
            retained_bytes: 0,
            recent: 0,
            recent_bytes: 0,
            start,
            limit_changes,
        }
    }

    /// The oldest revision whose successors are all here.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The number that the next change will have.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    /// Bytes that are kept by the ring alone.
    pub(crate) fn bytes(&self) -> usize {
        self.retained_bytes + self.recent_bytes
    }

    /// Appends a change and returns its number.
    pub(crate) fn push(&mut self, change: Arc<Change>) -> u64 {
        let number = self.end();
        self.retained_bytes += change.retained_bytes();
        self.recent += 1;
        self.recent_bytes += change.encoded_bytes();
        self.changes.push_back(change);
        // The last one stays whatever its size: its watchers share what they make of it.
        while self.recent > 1 && (self.recent > RECENT_CHANGES || self.recent_bytes > RECENT_BYTES) {
            self.forget_encoded();
        }
        while self.changes.len() > self.limit_changes {
            self.pop();
        }
        number
    }

    /// Lets go of the other forms of changes from before `recent_since`, and of changes from before `since`.
    pub(crate) fn age(&mut self, since: Duration, recent_since: Duration) {
        while self.oldest_recent().is_some_and(|change| change.at < recent_since) {
            self.forget_encoded();
        }
        let kept = |ring: &Ring| ring.changes.len() <= KEPT_CHANGES && ring.retained_bytes <= KEPT_BYTES;
        while self.changes.front().is_some_and(|change| change.at < since) && !kept(self) {
            self.pop();
        }
        if self.changes.capacity() > 1024.max(self.changes.len() * 4) {
            self.changes.shrink_to(self.changes.len() * 2);
        }
    }

    /// Lets go of the oldest changes until that many bytes are freed or nothing is left.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        let wanted = self.bytes().saturating_sub(bytes);
        while self.bytes() > wanted && self.pop() {}
    }

    fn pop(&mut self) -> bool {
        if self.recent == self.changes.len() {
            self.forget_encoded();
        }
        let Some(first) = self.changes.pop_front() else { return false };
        self.first += 1;
        self.retained_bytes -= first.retained_bytes();
        self.start = first.revision;
        true
    }

    fn oldest_recent(&self) -> Option<&Arc<Change>> {
        if self.recent == 0 { None } else { self.changes.get(self.changes.len() - self.recent) }
    }

    /// The oldest recent change is not recent any more.
    fn forget_encoded(&mut self) {
        if let Some(change) = self.oldest_recent() {
            change.forget_encoded();
            let bytes = change.encoded_bytes();
            self.recent_bytes -= bytes;
            self.recent -= 1;
        }
    }

    /// Changes with a revision greater than `revision`, in order. When a transaction was cut in two by
    /// the ring's end, `start` is its revision and its rest is not asked for.
    pub(crate) fn after(&self, revision: u64) -> impl DoubleEndedIterator<Item = &Arc<Change>> {
        self.changes.range(self.index_after(revision)..)
    }

    /// The number of the first change with a revision greater than `revision`.
    pub(crate) fn number_after(&self, revision: u64) -> u64 {
        self.first + self.index_after(revision) as u64
    }

    fn index_after(&self, revision: u64) -> usize {
        self.changes.partition_point(|change| change.revision <= revision)
    }

    /// The change with this number; `None` when it has not happened yet.
    pub(crate) fn get(&self, number: u64) -> Result<Option<&Arc<Change>>, Gone> {
        let index = number.checked_sub(self.first).ok_or(Gone)?;
        Ok(usize::try_from(index).ok().and_then(|index| self.changes.get(index)))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

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
        Arc::new(Change::new(revision, Duration::from_secs(revision), Some(entry()), Some(entry())))
    }

    fn encoded(change: &Change, kind: WatchEventType, form: u8, text: &'static str) -> Bytes {
        let made: Result<Bytes, Infallible> =
            change.encoded(kind, form, || Ok(Bytes::from_static(text.as_bytes())));
        made.expect("it cannot fail")
    }

    /// What a second watcher gets when the first one has made "1".
    fn second(change: &Change) -> Bytes {
        let kind = WatchEventType::Modified;
        encoded(change, kind, 7, "1");
        encoded(change, kind, 7, "2")
    }

    #[test]
    fn it_is_bounded_in_number_and_gives_bytes_back() {
        let mut ring = Ring::new(0, 3);
        let numbers: Vec<_> = (1..=5).map(|revision| ring.push(change(revision, 10))).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert_eq!((ring.start(), ring.after(0).count(), ring.end()), (2, 3, 5));
        assert_eq!(ring.get(1).err(), Some(Gone));
        assert_eq!(ring.get(2).map(|found| found.map(|change| change.revision)), Ok(Some(3)));
        assert_eq!(ring.get(5).map(|found| found.is_none()), Ok(true));
        assert_eq!((ring.number_after(0), ring.number_after(4)), (2, 4));
        ring.push(change(6, 3 << 20));
        assert_eq!(ring.recent, 1);
        assert_eq!(second(&ring.changes[2]), "1", "the last one is shared whatever its size");
        ring.give_back(1);
        assert_eq!((ring.start(), ring.after(0).count()), (4, 2));
        ring.give_back(usize::MAX);
        assert_eq!((ring.start(), ring.end(), ring.bytes(), ring.recent), (6, 6, 0, 0));
        ring.push(change(7, 10));
        assert_eq!((ring.start(), ring.after(0).count()), (6, 1));
    }

    #[test]
    fn old_changes_go_but_for_a_few_small_ones() {
        let mut ring = Ring::new(0, 10_000);
        (1..=150).for_each(|revision| {
            ring.push(change(revision, 10));
        });
        let seconds = Duration::from_secs;
        ring.age(seconds(20), seconds(0));
        assert_eq!((ring.start(), ring.recent), (19, 131));
        ring.age(seconds(1000), seconds(149));
        assert_eq!((ring.start(), ring.recent), (50, 2));
        ring.push(change(151, KEPT_BYTES));
        ring.age(seconds(151), seconds(151));
        assert_eq!((ring.start(), ring.recent), (150, 1));
        ring.age(seconds(152), seconds(152));
        assert_eq!((ring.start(), ring.bytes()), (151, 0), "a large one does not stay");
    }

    #[test]
    fn other_forms_are_made_once_while_a_change_is_recent_or_the_form_is_in_use() {
        let mut ring = Ring::new(0, 10_000);
        let all: Vec<_> = (1..=RECENT_CHANGES as u64 + 5).map(|revision| change(revision, 100)).collect();
        let held = encoded(&all[0], WatchEventType::Modified, 7, "1");
        assert_eq!(second(&all[1]), "1");
        all.iter().for_each(|change| {
            ring.push(change.clone());
        });
        assert_eq!(second(&all[4]), "2", "not recent any more");
        assert_eq!(second(&all[5]), "1");
        assert_eq!(second(&all[0]), "1", "somebody still sends it");
        drop(held);
        assert_eq!(second(&all[0]), "2");
        assert_eq!(encoded(&all[5], WatchEventType::Deleted, 7, "3"), "3", "another event");
        assert_eq!(encoded(&all[5], WatchEventType::Modified, 8, "4"), "4", "another form");
        ring.push(change(9999, RECENT_BYTES));
        assert_eq!(second(&all[RECENT_CHANGES]), "2", "bounded in bytes");
    }
}

//! The recent changes of one resource, bounded in number and in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::change::Change;

pub(crate) struct Ring {
    changes: VecDeque<Arc<Change>>,
    retained_bytes: usize,
    /// Every change with a revision greater than this one is in the ring.
    start: u64,
    limit_changes: usize,
    limit_bytes: usize,
}

impl Ring {
    pub(crate) fn new(start: u64, limit_changes: usize, limit_bytes: usize) -> Ring {
        Ring { changes: VecDeque::new(), retained_bytes: 0, start, limit_changes, limit_bytes }
    }

    /// The oldest revision whose successors are all here.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn push(&mut self, change: Arc<Change>) {
        self.retained_bytes += change.retained_bytes();
        self.changes.push_back(change);
        while self.changes.len() > self.limit_changes || self.retained_bytes > self.limit_bytes {
            let Some(first) = self.changes.pop_front() else { return };
            self.retained_bytes -= first.retained_bytes();
            self.start = first.revision;
        }
    }

    /// Changes with a revision greater than `revision`, in order. When a transaction was cut in two by
    /// the ring's end, `start` is its revision and its rest is not asked for.
    pub(crate) fn after(&self, revision: u64) -> impl DoubleEndedIterator<Item = &Arc<Change>> {
        let first = self.changes.partition_point(|change| change.revision <= revision);
        self.changes.range(first..)
    }
}

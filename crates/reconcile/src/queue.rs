//! Keys to decide, each at most once, and keys to decide later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::Key;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    ready: VecDeque<Key>,
    queued: BTreeSet<Key>,
    later: BTreeSet<(Timestamp, Key)>,
    /// The one time each delayed key waits for: the earliest that was asked.
    due: BTreeMap<Key, Timestamp>,
}

impl Queue {
    pub(crate) fn push(&mut self, key: Key) {
        if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    pub(crate) fn push_at(&mut self, key: Key, at: Timestamp) {
        match self.due.get(&key) {
            Some(t) if *t <= at => return,
            Some(t) => {
                self.later.remove(&(*t, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.later.insert((at, key));
    }

    /// Moves what is due to the ready keys.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.later.first() {
            if *at > now {
                return;
            }
            if let Some((_, key)) = self.later.pop_first() {
                self.due.remove(&key);
                self.push(key);
            }
        }
    }

    /// The next key.
    pub(crate) fn pop(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        Some(key)
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.later.first().map(|(t, _)| *t)
    }

    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    pub(crate) fn delayed_len(&self) -> usize {
        self.later.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_queued_once_and_timers_keep_the_earliest() {
        let t = |s| Timestamp::from_second(s).unwrap();
        let k = |n| Key::new("", n);
        let mut q = Queue::default();
        q.push(k("a"));
        q.push(k("b"));
        q.push(k("a"));
        q.push_at(k("c"), t(10));
        q.push_at(k("c"), t(5));
        q.push_at(k("c"), t(7));
        assert_eq!(q.next_due(), Some(t(5)));
        q.tick(t(4));
        assert_eq!(q.pop(), Some(k("a")));
        assert_eq!(q.pop(), Some(k("b")));
        assert_eq!(q.pop(), None);
        q.tick(t(5));
        assert_eq!(q.pop(), Some(k("c")));
        assert_eq!(q.next_due(), None);
    }
}

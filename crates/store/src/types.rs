//! What goes in and out of a store: entries, transactions, events, and their limits.

use std::sync::Arc;

use bytes::Bytes;

use crate::Error;

/// A key: UTF-8, not empty, at most [`LIMIT_KEY_BYTES`] long. Keys are ordered by their bytes.
pub type Key = Arc<str>;

/// Longest key in bytes.
pub const LIMIT_KEY_BYTES: usize = 2048;
/// Largest value in bytes (a request body of 3 MiB and what the server adds to it).
pub const LIMIT_VALUE_BYTES: usize = 4 << 20;
/// Most compares and most operations in one transaction.
pub const LIMIT_TXN_OPS: usize = 128;
/// Most bytes of keys and values in one transaction.
pub const LIMIT_TXN_BYTES: usize = 8 << 20;

/// One stored key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub value: Bytes,
    /// Revision of the transaction that created the key.
    pub create_revision: u64,
    /// Revision of the last transaction that put the key.
    pub mod_revision: u64,
}

/// One change inside a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Put {
        key: Key,
        value: Bytes,
    },
    /// Deleting an absent key changes nothing and makes no event.
    Delete {
        key: Key,
    },
}

impl Op {
    pub fn key(&self) -> &Key {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }
}

/// A condition on another key than those that are changed, checked together with the compares: the key must be
/// there, and either be as it was seen or still be `good`. So a change of the key that does not matter to the
/// transaction is no conflict.
#[derive(Debug, Clone)]
pub struct Guard {
    pub key: Key,
    /// The `mod_revision` at which the caller found the key to be good.
    pub seen: u64,
    /// Judges a newer value. Called by the store's writer: must be quick and must not panic on any bytes.
    pub good: fn(&[u8]) -> bool,
}

impl PartialEq for Guard {
    /// Functions have no identity: the same key seen at the same revision is the same guard.
    fn eq(&self, other: &Guard) -> bool {
        (&self.key, self.seen) == (&other.key, other.seen)
    }
}

impl Eq for Guard {}

/// Compares, then changes, all or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// Every key must have exactly this `mod_revision`; 0 means that the key must be absent.
    pub compares: Vec<(Key, u64)>,
    /// Conditions on other keys. One that does not hold is a conflict.
    pub guards: Vec<Guard>,
    /// Applied in order. A key may appear once only.
    pub ops: Vec<Op>,
}

impl Txn {
    /// Creates `key`, which must be absent.
    pub fn create(key: impl Into<Key>, value: impl Into<Bytes>) -> Txn {
        Txn::update(key, 0, value)
    }

    /// Replaces the value of `key`, whose last change must have been `mod_revision`.
    pub fn update(key: impl Into<Key>, mod_revision: u64, value: impl Into<Bytes>) -> Txn {
        let key = key.into();
        let ops = vec![Op::Put { key: key.clone(), value: value.into() }];
        Txn { compares: vec![(key, mod_revision)], ops, ..Txn::default() }
    }

    /// Deletes `key`, whose last change must have been `mod_revision`.
    pub fn delete(key: impl Into<Key>, mod_revision: u64) -> Txn {
        let key = key.into();
        Txn { compares: vec![(key.clone(), mod_revision)], ops: vec![Op::Delete { key }], ..Txn::default() }
    }

    /// Adds a condition on another key.
    #[must_use]
    pub fn guarded(mut self, guard: Option<Guard>) -> Txn {
        self.guards.extend(guard);
        self
    }

    /// Both transactions in one.
    #[must_use]
    pub fn and(mut self, other: Txn) -> Txn {
        self.compares.extend(other.compares);
        self.guards.extend(other.guards);
        self.ops.extend(other.ops);
        self
    }

    /// Checks the limits and that no key is changed twice. Every store calls this first.
    pub fn validate(&self) -> Result<(), Error> {
        over("number of compares", self.compares.len() + self.guards.len(), LIMIT_TXN_OPS)?;
        over("number of operations", self.ops.len(), LIMIT_TXN_OPS)?;
        let mut total = 0;
        for key in self.compares.iter().map(|(key, _)| key).chain(self.guards.iter().map(|guard| &guard.key))
        {
            check_key(key)?;
            total += key.len();
        }
        for (index, op) in self.ops.iter().enumerate() {
            check_key(op.key())?;
            total += op.key().len();
            if let Op::Put { value, .. } = op {
                over("size of a value", value.len(), LIMIT_VALUE_BYTES)?;
                total += value.len();
            }
            if self.ops[..index].iter().any(|earlier| earlier.key() == op.key()) {
                return Err(Error::Invalid(format!("key {:?} is changed twice", op.key())));
            }
        }
        over("size of the transaction", total, LIMIT_TXN_BYTES)
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::Invalid("a key is empty".into()));
    }
    over("length of a key", key.len(), LIMIT_KEY_BYTES)
}

fn over(what: &'static str, actual: usize, limit: usize) -> Result<(), Error> {
    if actual > limit { Err(Error::OverLimit { what, actual, limit }) } else { Ok(()) }
}

/// How a transaction ended, when the store did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All operations are durable, and every sink has been told, at this revision. A transaction that
    /// changed nothing (no operations, or only deletes of absent keys) gets the current revision.
    Committed { revision: u64 },
    /// A compare or a guard failed and nothing changed. `current` has one element for each compare, in its order.
    Conflict { current: Vec<Option<Entry>> },
}

/// What [`crate::Store::list`] is asked for besides the prefix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListOptions<'a> {
    /// State at this revision; `None` is the newest.
    pub revision: Option<u64>,
    /// Only keys behind this one (exclusive).
    pub start_after: Option<&'a str>,
    /// At most so many entries; 0 is no limit.
    pub limit: usize,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In key order.
    pub entries: Vec<Entry>,
    /// The revision at which the entries were read.
    pub revision: u64,
    /// Whether keys remain behind the last entry.
    pub more: bool,
}

/// The kind of an [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Put,
    Delete,
}

/// One key changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub revision: u64,
    pub kind: EventKind,
    pub key: Key,
    /// The new value; empty for a delete.
    pub value: Bytes,
    /// Revision that created the key (of the deleted key for a delete).
    pub create_revision: u64,
    /// What the key held before; `None` when it was absent.
    pub prev: Option<Prev>,
}

/// The state of a key before an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prev {
    pub value: Bytes,
    pub create_revision: u64,
    pub mod_revision: u64,
}

/// Events of one or more whole transactions in commit order.
pub type Events = Arc<[Event]>;

/// What a watch stream yields: events of whole transactions under the watched prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Never empty; revisions do not fall.
    pub events: Vec<Event>,
    /// The store's revision behind these events.
    pub revision: u64,
}

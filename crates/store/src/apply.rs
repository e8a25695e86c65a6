//! What a transaction does to a table of keys, for every embedded store alike. No I/O of its own.

use bytes::Bytes;

use crate::{Entry, Event, EventKind, Guard, Key, Op, Outcome, Prev, Txn};

/// The newest state of all keys, changed in place.
pub(crate) trait Table {
    type Error;
    fn get(&self, key: &Key) -> Result<Option<Entry>, Self::Error>;
    /// The last change of a key, without its value; 0 when it is absent.
    fn mod_revision(&self, key: &Key) -> Result<u64, Self::Error>;
    fn put(&mut self, entry: &Entry) -> Result<(), Self::Error>;
    fn delete(&mut self, key: &Key) -> Result<(), Self::Error>;
}

/// Runs one validated transaction at `current + 1`. Appends its events; the revision is used up when the
/// outcome says so, that is when events were appended.
pub(crate) fn apply<T: Table>(
    table: &mut T,
    txn: Txn,
    current: u64,
    events: &mut Vec<Event>,
) -> Result<Outcome, T::Error> {
    let mut found = Vec::with_capacity(txn.compares.len());
    let mut conflict = false;
    for (key, expected) in &txn.compares {
        let entry = table.get(key)?;
        conflict |= entry.as_ref().map_or(0, |entry| entry.mod_revision) != *expected;
        found.push(entry);
    }
    for guard in &txn.guards {
        conflict = conflict || !holds(table, guard)?;
    }
    if conflict {
        return Ok(Outcome::Conflict { current: found });
    }
    let revision = current + 1;
    let before = events.len();
    for op in txn.ops {
        let compared = txn.compares.iter().position(|(key, _)| key == op.key());
        let prev = match compared {
            Some(index) => found[index].take(),
            None => table.get(op.key())?,
        };
        match op {
            Op::Put { key, value } => events.push(put(table, key, value, prev, revision)?),
            Op::Delete { key } => {
                if let Some(prev) = prev {
                    table.delete(&key)?;
                    events.push(deleted(key, prev, revision));
                }
            }
        }
    }
    let changed = events.len() > before;
    Ok(Outcome::Committed { revision: if changed { revision } else { current } })
}

/// The value is read only when the key was changed since it was seen.
fn holds<T: Table>(table: &T, guard: &Guard) -> Result<bool, T::Error> {
    match table.mod_revision(&guard.key)? {
        0 => Ok(false),
        revision if revision == guard.seen => Ok(true),
        _ => Ok(table.get(&guard.key)?.is_some_and(|entry| (guard.good)(&entry.value))),
    }
}

fn put<T: Table>(
    table: &mut T,
    key: Key,
    value: Bytes,
    prev: Option<Entry>,
    revision: u64,
) -> Result<Event, T::Error> {
    let create_revision = prev.as_ref().map_or(revision, |entry| entry.create_revision);
    let entry = Entry { key, value, create_revision, mod_revision: revision };
    table.put(&entry)?;
    let Entry { key, value, .. } = entry;
    Ok(Event { revision, kind: EventKind::Put, key, value, create_revision, prev: prev.map(Prev::from) })
}

fn deleted(key: Key, prev: Entry, revision: u64) -> Event {
    let create_revision = prev.create_revision;
    let prev = Some(Prev::from(prev));
    Event { revision, kind: EventKind::Delete, key, value: Bytes::new(), create_revision, prev }
}

impl From<Entry> for Prev {
    fn from(entry: Entry) -> Prev {
        Prev { value: entry.value, create_revision: entry.create_revision, mod_revision: entry.mod_revision }
    }
}

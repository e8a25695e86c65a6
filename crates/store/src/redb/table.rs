//! The stored form (docs/storage.md): two tables, one for the objects and one for the store itself.

use bytes::Bytes;
use redb::{AccessGuard, ReadableTable, Table as RedbTable, TableDefinition};

use crate::apply::Table;
use crate::{Entry, Key};

/// Key → create revision and mod revision (8 bytes each, little endian), then the value.
pub(super) const OBJECTS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("objects");
/// Name → value; see the constants below.
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("corten-meta");

/// Marks the file as ours.
pub(super) const META_MAGIC: (&str, &[u8]) = ("magic", b"corten-store");
/// The format version, 4 bytes, little endian.
pub(super) const META_FORMAT: &str = "format";
/// The current revision, 8 bytes, little endian.
pub(super) const META_REVISION: &str = "revision";

/// The format that this version writes and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

const HEADER_BYTES: usize = 16;

/// What can go wrong inside the database: its own error, or content that is not ours.
#[derive(Debug)]
pub(super) enum Fault {
    Redb(Box<redb::Error>),
    Damaged(String),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Fault {
        Fault::Redb(Box::new(error.into()))
    }
}

/// The objects inside a write transaction.
pub(super) struct Objects<'txn>(pub(super) RedbTable<'txn, &'static [u8], &'static [u8]>);

impl Table for Objects<'_> {
    type Error = Fault;

    fn get(&self, key: &Key) -> Result<Option<Entry>, Fault> {
        get(&self.0, key)
    }

    fn mod_revision(&self, key: &Key) -> Result<u64, Fault> {
        let Some(stored) = self.0.get(key.as_bytes())? else { return Ok(0) };
        let short = || Fault::Damaged(format!("the value of {key} is too short"));
        let modified = stored.value().get(8..HEADER_BYTES).and_then(|bytes| bytes.try_into().ok());
        modified.map(u64::from_le_bytes).ok_or_else(short)
    }

    fn put(&mut self, entry: &Entry) -> Result<(), Fault> {
        let length = HEADER_BYTES + entry.value.len();
        let mut slot = self.0.insert_reserve(entry.key.as_bytes(), length)?;
        let slot = slot.as_mut();
        slot[..8].copy_from_slice(&entry.create_revision.to_le_bytes());
        slot[8..HEADER_BYTES].copy_from_slice(&entry.mod_revision.to_le_bytes());
        slot[HEADER_BYTES..].copy_from_slice(&entry.value);
        Ok(())
    }

    fn delete(&mut self, key: &Key) -> Result<(), Fault> {
        self.0.remove(key.as_bytes())?;
        Ok(())
    }
}

/// Reads one key.
pub(super) fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &str,
) -> Result<Option<Entry>, Fault> {
    match table.get(key.as_bytes())? {
        Some(stored) => decode(Key::from(key), &stored).map(Some),
        None => Ok(None),
    }
}

/// Reads one row of a range.
pub(super) fn decode_row(
    key: &AccessGuard<'_, &'static [u8]>,
    stored: &AccessGuard<'_, &'static [u8]>,
) -> Result<Entry, Fault> {
    let key = std::str::from_utf8(key.value()).map_err(|_| Fault::Damaged("a key is not UTF-8".into()))?;
    decode(Key::from(key), stored)
}

fn decode(key: Key, stored: &AccessGuard<'_, &'static [u8]>) -> Result<Entry, Fault> {
    let stored = stored.value();
    let short = || Fault::Damaged(format!("the value of {key} is too short"));
    let (create, rest) = stored.split_first_chunk::<8>().ok_or_else(short)?;
    let (modified, value) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    Ok(Entry {
        value: Bytes::copy_from_slice(value),
        create_revision: u64::from_le_bytes(*create),
        mod_revision: u64::from_le_bytes(*modified),
        key,
    })
}

/// The current revision from the meta table.
pub(super) fn revision(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<u64, Fault> {
    let stored = meta.get(META_REVISION)?.ok_or_else(|| Fault::Damaged("it has no revision".into()))?;
    let bytes = stored.value().try_into().map_err(|_| Fault::Damaged("its revision is malformed".into()))?;
    Ok(u64::from_le_bytes(bytes))
}

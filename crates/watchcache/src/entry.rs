//! One cached object. Its bytes are made once, as the watch event that announces it; everything that is
//! served (object, list item, event) is a slice of that one allocation.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use store::Key;

use crate::change::WatchEventType;
use crate::facts::Facts;
use crate::splice::{self, Place};

/// What stands behind the object in a frame.
const FRAME_END: &[u8] = b"}\n";

/// One object as it is served.
#[derive(Debug)]
pub struct Entry {
    /// `{"type":"ADDED","object":{…}}` and a line feed, or the same with MODIFIED.
    frame: Bytes,
    key: Key,
    facts: Facts,
    mod_revision: u64,
    announced: WatchEventType,
    /// Length of the resource's prefix in the key.
    prefix_length: u16,
    /// Offsets into the object; `None` when it has no metadata and no revision was spliced in.
    spliced: Option<Spliced>,
}

#[derive(Debug, Clone, Copy)]
struct Spliced {
    metadata: u16,
    field: u16,
    field_length: u8,
}

impl Entry {
    pub(crate) fn new(
        key: Key,
        prefix_length: u16,
        value: &[u8],
        mod_revision: u64,
        announced: WatchEventType,
        facts: Facts,
    ) -> Entry {
        let place = splice::find(value).filter(|place| place.inside <= usize::from(u16::MAX));
        let (frame, field_length) = build_frame(announced, value, place, mod_revision);
        let spliced = place.map(|place| Spliced {
            metadata: place.metadata as u16,
            field: place.inside as u16,
            field_length: field_length as u8,
        });
        Entry { frame, key, facts, mod_revision, announced, prefix_length, spliced }
    }

    /// The key in the store.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Labels and selectable fields.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The object's resource version, which is what a transaction has to compare.
    pub fn mod_revision(&self) -> u64 {
        self.mod_revision
    }

    /// The object's namespace; empty for a cluster-scoped object.
    pub fn namespace(&self) -> &str {
        self.path().rsplit_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.path().rsplit_once('/').map_or(self.path(), |(_, name)| name)
    }

    /// The whole object with its resource version. Shares the cached bytes.
    pub fn object(&self) -> Bytes {
        self.frame.slice(self.announced.frame_head().len()..self.frame.len() - FRAME_END.len())
    }

    /// As [`Entry::object`], borrowed.
    pub fn object_bytes(&self) -> &[u8] {
        &self.frame[self.announced.frame_head().len()..self.frame.len() - FRAME_END.len()]
    }

    /// The object without its first brace, kind and apiVersion: a list item is `{` and these bytes. The
    /// whole object without its brace when it has no metadata.
    pub fn item_tail(&self) -> Bytes {
        let start = self.spliced.map_or(1, |spliced| usize::from(spliced.metadata));
        let object = self.object();
        object.slice(start.min(object.len())..)
    }

    /// A copy of the object as it is stored, without its resource version.
    pub fn stored(&self) -> Vec<u8> {
        let object = self.object_bytes();
        let Some((field, behind)) = self.field_range() else { return object.to_vec() };
        let mut stored = Vec::with_capacity(object.len());
        stored.extend_from_slice(&object[..field]);
        stored.extend_from_slice(&object[behind..]);
        stored
    }

    /// Bytes of memory this entry takes, roughly: the struct, its reference counts and what it points to.
    pub fn memory_bytes(&self) -> usize {
        const COUNTS: usize = 16;
        const SHARED_BYTES: usize = 32;
        let own = size_of::<Entry>() + COUNTS;
        own + self.frame.len() + SHARED_BYTES + COUNTS + self.key.len() + self.facts.heap_bytes()
    }

    /// The event that announces this entry, when it is of this type.
    pub(crate) fn frame(&self, kind: WatchEventType) -> Option<Bytes> {
        (kind == self.announced).then(|| self.frame.clone())
    }

    /// A new frame of another type, or with another revision (for a deletion).
    pub(crate) fn reframe(&self, kind: WatchEventType, revision: u64) -> Bytes {
        let stored = self.stored();
        let place = if self.spliced.is_some() { splice::find(&stored) } else { None };
        build_frame(kind, &stored, place, revision).0
    }

    fn field_range(&self) -> Option<(usize, usize)> {
        let spliced = self.spliced?;
        let field = usize::from(spliced.field);
        Some((field, field + usize::from(spliced.field_length)))
    }

    fn path(&self) -> &str {
        &self.key[usize::from(self.prefix_length)..]
    }
}

fn build_frame(kind: WatchEventType, value: &[u8], place: Option<Place>, revision: u64) -> (Bytes, usize) {
    let head = kind.frame_head();
    let extra = place.map_or(0, |place| splice::field_length(place, revision));
    let mut frame = Vec::with_capacity(head.len() + value.len() + extra + FRAME_END.len());
    frame.extend_from_slice(head);
    let field_length = match place {
        Some(place) => splice::append(&mut frame, value, place, revision),
        None => {
            frame.extend_from_slice(value);
            0
        }
    };
    frame.extend_from_slice(FRAME_END);
    (frame.into(), field_length)
}

/// The object of a frame that [`Entry::reframe`] made.
pub(crate) fn object_of(frame: &Bytes, kind: WatchEventType) -> Bytes {
    frame.slice(kind.frame_head().len()..frame.len() - FRAME_END.len())
}

/// An entry in the ordered set, ordered and found by its key.
#[derive(Debug, Clone)]
pub(crate) struct Keyed(pub(crate) Arc<Entry>);

impl Borrow<str> for Keyed {
    fn borrow(&self) -> &str {
        &self.0.key
    }
}

impl PartialEq for Keyed {
    fn eq(&self, other: &Keyed) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Keyed {}

impl PartialOrd for Keyed {
    fn partial_cmp(&self, other: &Keyed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyed {
    fn cmp(&self, other: &Keyed) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{}}"#;

    fn entry(value: &str) -> Entry {
        let key = Key::from("/registry/pods/ns/a");
        Entry::new(key, 15, value.as_bytes(), 7, WatchEventType::Added, Facts::default())
    }

    #[test]
    fn every_view_is_right() {
        let entry = entry(POD);
        let object =
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"a"},"spec":{}}"#;
        assert_eq!(entry.object(), object);
        assert_eq!(entry.item_tail(), r#""metadata":{"resourceVersion":"7","name":"a"},"spec":{}}"#);
        assert_eq!(entry.stored(), POD.as_bytes());
        assert_eq!((entry.namespace(), entry.name()), ("ns", "a"));
        let added = entry.frame(WatchEventType::Added).expect("it was announced so");
        assert_eq!(added, format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n"));
        assert!(entry.frame(WatchEventType::Modified).is_none());
        let deleted = entry.reframe(WatchEventType::Deleted, 12);
        assert_eq!(object_of(&deleted, WatchEventType::Deleted), object.replace("\"7\"", "\"12\""));
    }

    #[test]
    fn values_without_metadata_are_kept_as_they_are() {
        for value in ["", "{}", "null", r#"{"a":1}"#] {
            let entry = entry(value);
            assert_eq!(entry.object(), value);
            assert_eq!(entry.stored(), value.as_bytes());
            let _ = entry.item_tail();
            let deleted = entry.reframe(WatchEventType::Deleted, 12);
            assert_eq!(object_of(&deleted, WatchEventType::Deleted), value);
        }
    }

    #[test]
    fn empty_metadata_round_trips() {
        let entry = entry(r#"{"metadata":{},"data":{}}"#);
        assert_eq!(entry.object(), r#"{"metadata":{"resourceVersion":"7"},"data":{}}"#);
        assert_eq!(entry.stored(), br#"{"metadata":{},"data":{}}"#);
    }
}

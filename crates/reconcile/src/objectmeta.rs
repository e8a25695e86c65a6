//! The metadata of any object, stored compactly.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Key;

/// A sorted map from text to text: labels, annotations. Two words when empty.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StrMap(Box<[(Box<str>, Box<str>)]>);

impl StrMap {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok().map(|i| self.0[i].1.as_ref())
    }

    /// Pairs in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_ref(), v.as_ref()))
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With one pair put in or replaced.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        let rest = self.iter().filter(|(k, _)| *k != key);
        rest.chain([(key, value)]).collect()
    }

    /// With one key taken out.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        self.iter().filter(|(k, _)| *k != key).collect()
    }

    /// Keeps only the pairs whose key passes.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        if self.0.iter().any(|(k, _)| !keep(k)) {
            *self = self.iter().filter(|(k, _)| keep(k)).collect();
        }
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for StrMap {
    /// The last of equal keys wins.
    fn from_iter<T: IntoIterator<Item = (K, V)>>(iter: T) -> Self {
        let mut v: Vec<(Box<str>, Box<str>)> =
            iter.into_iter().map(|(k, v)| (k.as_ref().into(), v.as_ref().into())).collect();
        v.sort_by(|a, b| a.0.cmp(&b.0));
        let mut out: Vec<(Box<str>, Box<str>)> = Vec::with_capacity(v.len());
        for pair in v {
            match out.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => out.push(pair),
            }
        }
        StrMap(out.into_boxed_slice())
    }
}

impl fmt::Debug for StrMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for StrMap {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut m = s.serialize_map(Some(self.0.len()))?;
        for (k, v) in self.iter() {
            m.serialize_entry(k, v)?;
        }
        m.end()
    }
}

impl<'de> Deserialize<'de> for StrMap {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = StrMap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut a: A) -> Result<StrMap, A::Error> {
                let mut v: Vec<(Box<str>, Box<str>)> = Vec::new();
                while let Some((k, value)) = a.next_entry::<Box<str>, Option<Box<str>>>()? {
                    v.push((k, value.unwrap_or_default()));
                }
                Ok(v.into_iter().collect())
            }
        }
        d.deserialize_map(Pairs)
    }
}

/// A reference to an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    pub api_version: Box<str>,
    pub kind: Box<str>,
    pub name: Box<str>,
    pub uid: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl OwnerReference {
    /// The group in `apiVersion`, empty for the core.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether it names an object of this kind, in whichever version of its group.
    #[must_use]
    pub fn is_a(&self, group: &str, kind: &str) -> bool {
        *self.kind == *kind && self.group() == group
    }
}

/// `metadata` without managed fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    pub name: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub uid: Arc<str>,
    /// The revision of the last write; 0 when unknown.
    #[serde(with = "revision_text", skip_serializing_if = "is_zero")]
    pub resource_version: u64,
    #[serde(skip_serializing_if = "is_zero_signed")]
    pub generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<i64>,
    #[serde(skip_serializing_if = "StrMap::is_empty")]
    pub labels: StrMap,
    #[serde(skip_serializing_if = "StrMap::is_empty")]
    pub annotations: StrMap,
    #[serde(skip_serializing_if = "is_empty")]
    pub owner_references: Box<[OwnerReference]>,
    #[serde(skip_serializing_if = "is_empty")]
    pub finalizers: Box<[Box<str>]>,
}

fn is_zero(v: &u64) -> bool {
    *v == 0
}

fn is_zero_signed(v: &i64) -> bool {
    *v == 0
}

fn is_empty<T>(v: &[T]) -> bool {
    v.is_empty()
}

mod revision_text {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(v: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(v)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        let text = Option::<Cow<'de, str>>::deserialize(d)?.unwrap_or_default();
        Ok(text.parse().unwrap_or(0))
    }
}

impl ObjectMeta {
    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// The owner that manages this object.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|o| o.controller == Some(true))
    }

    /// Whether `uid` is the managing owner.
    #[must_use]
    pub fn controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|o| *o.uid == *uid)
    }

    /// Whether a deletion has begun.
    #[must_use]
    pub fn deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Whether the finalizer is there.
    #[must_use]
    pub fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().any(|f| **f == *name)
    }
}

/// Any object's type and metadata.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Partial {
    pub api_version: Box<str>,
    pub kind: Box<str>,
    pub metadata: ObjectMeta,
}

impl Partial {
    /// Reads the metadata out of an object's JSON.
    ///
    /// # Errors
    /// When the bytes are not an object with readable metadata.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        meta::json::read(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_reads_and_writes_itself() {
        let text = br#"{"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"17",
            "labels":{"b":"2","a":"1"},"annotations":null,"creationTimestamp":"2026-01-02T03:04:05Z",
            "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"o","controller":true}],
            "managedFields":[{"manager":"x"}]},"spec":{"x":[1,2]}}"#;
        let p = Partial::parse(text).unwrap();
        assert_eq!(p.metadata.resource_version, 17);
        assert_eq!(p.metadata.labels.get("a"), Some("1"));
        assert!(p.metadata.controlled_by("o"));
        let again: ObjectMeta = serde_json::from_slice(&serde_json::to_vec(&p.metadata).unwrap()).unwrap();
        assert_eq!(again, p.metadata);
    }

    #[test]
    fn maps_are_sorted_and_last_wins() {
        let m: StrMap = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        assert_eq!(m.iter().collect::<Vec<_>>(), vec![("a", "2"), ("b", "3")]);
        assert_eq!(m.without("a").len(), 1);
        assert_eq!(m.with("c", "4").get("c"), Some("4"));
    }
}

//! Small views of stored objects, read without a schema. It must never change anything.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The fields of metadata that the server itself looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Typed {
    #[serde(default)]
    metadata: Metadata,
}

/// The metadata of stored bytes; empty when they do not parse.
#[must_use]
pub fn metadata(object: &[u8]) -> Metadata {
    serde_json::from_slice::<Typed>(object).map(|t| t.metadata).unwrap_or_default()
}

/// The raw JSON of `metadata`.
#[must_use]
pub fn raw_metadata(object: &[u8]) -> Cow<'_, [u8]> {
    match serde_json::from_slice::<Object<'_>>(object) {
        Ok(Object { metadata: Some(raw) }) => Cow::Borrowed(raw.get().as_bytes()),
        _ => Cow::Borrowed(b"{}"),
    }
}

/// Reads any projection; the default when the bytes do not parse.
#[must_use]
pub fn project<T: serde::de::DeserializeOwned + Default>(object: &[u8]) -> T {
    serde_json::from_slice(object).unwrap_or_default()
}

//! A projection: the part of an object that a component reads, deserialized straight from its JSON bytes.

use std::sync::Arc;

use meta::Gvr;
use serde::de::DeserializeOwned;

use crate::ObjectMeta;

/// A small struct read from an object's JSON. Fields that it does not name cost nothing.
///
/// ```text
/// #[derive(serde::Deserialize)]
/// struct Node { metadata: ObjectMeta, #[serde(default)] spec: NodeSpec }
/// impl Projection for Node {
///     const GVR: Gvr = Gvr::new("", "v1", "nodes");
///     fn meta(&self) -> &ObjectMeta { &self.metadata }
/// }
/// ```
pub trait Projection: DeserializeOwned + Send + Sync + 'static {
    /// What it is a part of.
    const GVR: Gvr;

    /// The object's metadata.
    fn meta(&self) -> &ObjectMeta;

    /// The values under which the object can be looked up.
    fn indexes(&self, _sink: &mut IndexSink) {}

    /// Drops what was read but need not be kept (annotations, say).
    fn compact(&mut self) {}
}

/// Collects an object's index values.
#[derive(Debug, Default)]
pub struct IndexSink(pub(crate) Vec<(&'static str, Arc<str>)>);

impl IndexSink {
    /// Makes the object found under `value` in the index `name`.
    pub fn add(&mut self, name: &'static str, value: &str) {
        self.0.push((name, value.into()));
    }
}

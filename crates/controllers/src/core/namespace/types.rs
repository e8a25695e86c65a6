//! What controllers read of namespaces.

use meta::Gvr;
use reconcile::{ObjectMeta, Projection};
use serde::Deserialize;

use crate::core::condition::Condition;

/// `namespaces`.
pub const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Namespace {
    pub metadata: ObjectMeta,
    pub spec: NamespaceSpec,
    pub status: NamespaceStatus,
}

/// Its specification.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NamespaceSpec {
    pub finalizers: Vec<Box<str>>,
}

/// Its status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NamespaceStatus {
    pub phase: Box<str>,
    pub conditions: Vec<Condition>,
}

impl Projection for Namespace {
    const GVR: Gvr = NAMESPACES;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl Namespace {
    /// Whether things may still be made in it.
    #[must_use]
    pub fn active(&self) -> bool {
        !self.metadata.deleting() && &*self.status.phase != "Terminating"
    }
}

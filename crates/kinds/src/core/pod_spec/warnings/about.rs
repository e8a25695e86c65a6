//! What the warnings of a pod look at.

use meta::Path;
use schema::Value;

/// Resources that are counted in bytes.
pub(super) const BYTES: &[&str] = &["memory", "ephemeral-storage"];

/// A pod to be made, or a template.
pub(super) struct About<'a> {
    pub spec: &'a Value,
    pub annotations: Option<&'a Value>,
    /// Where it stands; empty for a pod.
    pub path: Path,
    pub is_template: bool,
}

impl About<'_> {
    pub(super) fn at(&self, field: &str) -> Path {
        self.path.child("spec").child(field)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.and_then(|a| a.get(key)).and_then(Value::as_str)
    }

    pub(super) fn annotation_path(&self, key: &str) -> Path {
        self.path.child("metadata").child("annotations").key(key)
    }
}

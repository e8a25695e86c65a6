//! What the warnings of a pod look at.

use meta::Path;
use schema::Value;

/// Resources that are counted in bytes.
pub(super) const BYTES: &[&str] = &["memory", "ephemeral-storage"];

/// How much is looked at and said at most: who may write a pod may write one of a hundred thousand ports.
#[derive(Debug)]
pub(super) struct Budget {
    comparisons: usize,
    texts: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { comparisons: 1_000_000, texts: 100 }
    }

    /// Takes one comparison; whether there was one left, and `out` has room.
    pub(super) fn take(&mut self, out: &[String]) -> bool {
        self.comparisons = self.comparisons.saturating_sub(1);
        self.comparisons > 0 && out.len() < self.texts
    }
}

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

//! Drops what a schema does not say. It must never change what the schema says of.
// k8s: apiextensions-apiserver pkg/apiserver/schema/pruning/algorithm.go

use super::node::Node;
use crate::Value;

/// Paths that are reported at most.
const MAX_PATHS: usize = 100;

/// What every object has, whatever its schema says.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// A step of the path that is being walked.
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

/// The dropped fields.
pub struct Dropped {
    paths: Vec<String>,
    /// No more paths than answers show are made.
    limit: usize,
}

impl Dropped {
    pub fn new(reported: bool) -> Self {
        Dropped { paths: Vec::new(), limit: if reported { MAX_PATHS } else { 0 } }
    }

    fn add(&mut self, above: &Path<'_>, name: &str) {
        if self.paths.len() < self.limit {
            let path = Path { above: Some(above), step: Step::Name(name) };
            self.paths.push(path.text());
        }
    }

    pub fn add_path(&mut self, path: String) {
        if self.paths.len() < self.limit {
            self.paths.push(path);
        }
    }

    /// Sorted, each once.
    pub fn into_paths(mut self) -> Vec<String> {
        self.paths.sort();
        self.paths.dedup();
        self.paths
    }
}

/// A place below another; made into text for what is dropped only.
struct Path<'a> {
    above: Option<&'a Path<'a>>,
    step: Step<'a>,
}

impl Path<'_> {
    fn text(&self) -> String {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            steps.push(&path.step);
            at = path.above;
        }
        let mut out = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Index(i) => out.push_str(&format!("[{i}]")),
                Step::Name("") if out.is_empty() => {}
                Step::Name(name) => {
                    if !out.is_empty() {
                        out.push('.');
                    }
                    out.push_str(name);
                }
            }
        }
        out
    }

    const fn is_root(&self) -> bool {
        self.above.is_none()
    }
}

/// Prunes an object or a value that has a schema of its own; `embedded` when it has kind and metadata.
pub fn prune(value: &mut Value, node: &Node, embedded: bool, dropped: &mut Dropped) {
    let root = Path { above: None, step: Step::Name("") };
    Pruner { dropped }.value(value, Some(node), embedded, &root);
}

struct Pruner<'d> {
    dropped: &'d mut Dropped,
}

impl Pruner<'_> {
    fn value(&mut self, value: &mut Value, node: Option<&Node>, embedded: bool, path: &Path<'_>) {
        if let Some(node) = node.filter(|n| n.preserve_unknown_fields) {
            return self.kept(value, node, embedded, path);
        }
        match value {
            Value::Map(map) => map.0.retain_mut(|(name, v)| {
                let Some(node) = node else {
                    self.dropped.add(path, name);
                    return false;
                };
                self.entry(name, v, node, embedded, path)
            }),
            Value::List(list) => {
                let items = node.and_then(|n| n.items.as_deref());
                for (i, v) in list.iter_mut().enumerate() {
                    let at = Path { above: Some(path), step: Step::Index(i) };
                    self.value(v, items, items.is_some_and(|n| n.embedded), &at);
                }
            }
            _ => {}
        }
    }

    /// Prunes an entry, and says whether it stays.
    fn entry(&mut self, name: &str, v: &mut Value, node: &Node, embedded: bool, path: &Path<'_>) -> bool {
        let meta = META.contains(&name);
        if embedded && meta {
            return true;
        }
        let at = Path { above: Some(path), step: Step::Name(name) };
        if let Some(property) = node.property(name) {
            self.value(v, Some(property), property.embedded, &at);
        } else if node.additional.is_set() {
            let schema = node.additional.schema();
            self.value(v, schema, schema.is_some_and(|n| n.embedded), &at);
        } else {
            if !meta || !path.is_root() {
                self.dropped.add(path, name);
            }
            return false;
        }
        true
    }

    /// Below `x-kubernetes-preserve-unknown-fields` only what has a schema is pruned.
    fn kept(&mut self, value: &mut Value, node: &Node, embedded: bool, path: &Path<'_>) {
        match value {
            Value::Map(map) => {
                for (name, v) in map.iter_mut() {
                    if embedded && META.contains(&name) {
                        continue;
                    }
                    let at = Path { above: Some(path), step: Step::Name(name) };
                    if let Some(property) = node.property(name) {
                        self.value(v, Some(property), property.embedded, &at);
                    } else if node.additional.is_set() {
                        let schema = node.additional.schema();
                        self.value(v, schema, schema.is_some_and(|n| n.embedded), &at);
                    }
                }
            }
            Value::List(list) => {
                let Some(items) = node.items.as_deref() else { return };
                for (i, v) in list.iter_mut().enumerate() {
                    let at = Path { above: Some(path), step: Step::Index(i) };
                    self.kept(v, items, items.embedded, &at);
                }
            }
            _ => {}
        }
    }
}

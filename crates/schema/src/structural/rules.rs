//! Where rules in CEL stand in a schema, for who evaluates them.

use super::node::Node;
use crate::Value;

/// A step from the root of an object to the values that a schema is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Property(Box<str>),
    /// Each entry of a map.
    Entries,
    /// Each element of a list.
    Items,
}

/// A schema that has rules.
#[derive(Clone, Debug)]
pub struct Site<'s> {
    pub path: Vec<Step>,
    pub node: &'s Node,
}

impl<'s> Site<'s> {
    /// `x-kubernetes-validations`, as they are written.
    #[must_use]
    pub fn rules(&self) -> &'s [Value] {
        &self.node.rules
    }
}

/// Every schema that has rules, the outer before the inner.
pub fn sites(root: &Node) -> Vec<Site<'_>> {
    let mut out = Vec::new();
    walk(root, &mut Vec::new(), &mut out);
    out
}

fn walk<'s>(node: &'s Node, path: &mut Vec<Step>, out: &mut Vec<Site<'s>>) {
    if !node.rules.is_empty() {
        out.push(Site { path: path.clone(), node });
    }
    let mut below = |step: Step, node: &'s Node| {
        path.push(step);
        walk(node, path, out);
        path.pop();
    };
    for (name, property) in &node.properties {
        below(Step::Property(name.clone()), property);
    }
    if let Some(schema) = node.additional.schema() {
        below(Step::Entries, schema);
    }
    if let Some(items) = node.items.as_deref() {
        below(Step::Items, items);
    }
}

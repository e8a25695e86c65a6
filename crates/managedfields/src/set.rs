//! Sets of fields, as a tree of steps. A node is there because it is a member, or because something below it is.
//! It must never hold a node that is neither.
// k8s: structured-merge-diff/fieldpath/set.go

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::element::Element;

/// Fields of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Sorted by element.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub element: Element,
    pub member: bool,
    pub children: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Set { nodes: Vec::new() }
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Of nodes in any order, each element once.
    pub(crate) fn from_nodes(mut nodes: Vec<Node>) -> Self {
        nodes.retain(|n| !n.is_empty());
        if !nodes.is_sorted_by(|a, b| a.element <= b.element) {
            nodes.sort_by(|a, b| a.element.cmp(&b.element));
        }
        Set { nodes }
    }

    /// Of nodes in any order, where an element may come again: its members are joined.
    pub(crate) fn from_repeated(mut nodes: Vec<Node>) -> Self {
        nodes.sort_by(|a, b| a.element.cmp(&b.element));
        nodes.dedup_by(|later, first| {
            let again = later.element == first.element;
            if again {
                first.member |= later.member;
                first.children = first.children.union(&later.children);
            }
            again
        });
        Set::from_nodes(nodes)
    }

    /// The cheaper of both: an element comes again only where values of two sorts meet at one place.
    pub(crate) fn from_repeated_if_needed(nodes: Vec<Node>) -> Self {
        if nodes.is_sorted_by(|a, b| a.element < b.element) {
            return Set { nodes };
        }
        Set::from_repeated(nodes)
    }

    fn find(&self, element: &Element) -> Result<usize, usize> {
        self.nodes.binary_search_by(|n| n.element.cmp(element))
    }

    pub(crate) fn node(&self, element: &Element) -> Option<&Node> {
        self.find(element).ok().map(|at| &self.nodes[at])
    }

    /// Adds the field at `path`; the empty path, which is the whole object, is nobody's.
    pub fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = match self.find(first) {
            Ok(at) => at,
            Err(at) => {
                let node = Node { element: first.clone(), member: false, children: Set::new() };
                self.nodes.insert(at, node);
                at
            }
        };
        if rest.is_empty() {
            self.nodes[at].member = true;
        } else {
            self.nodes[at].children.insert(rest);
        }
    }

    /// Whether the field at `path` is a member.
    #[must_use]
    pub fn has(&self, path: &[Element]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        let Some(node) = self.node(first) else { return false };
        if rest.is_empty() { node.member } else { node.children.has(rest) }
    }

    /// Members of either.
    #[must_use]
    pub fn union(&self, other: &Set) -> Set {
        self.join(other, &|a, b| match (a, b) {
            (Some(a), Some(b)) => Some(Node {
                element: a.element.clone(),
                member: a.member || b.member,
                children: a.children.union(&b.children),
            }),
            (one, None) | (None, one) => one.cloned(),
        })
    }

    /// Members of both.
    #[must_use]
    pub fn intersection(&self, other: &Set) -> Set {
        self.join(other, &|a, b| {
            let (Some(a), Some(b)) = (a, b) else { return None };
            let children = a.children.intersection(&b.children);
            Some(Node { element: a.element.clone(), member: a.member && b.member, children })
        })
    }

    /// Members that the other has not. What is below a member of the other stays.
    #[must_use]
    pub fn difference(&self, other: &Set) -> Set {
        self.join(other, &|a, b| {
            let (a, Some(b)) = (a?, b) else { return a.cloned() };
            let children = a.children.difference(&b.children);
            Some(Node { element: a.element.clone(), member: a.member && !b.member, children })
        })
    }

    /// As [`Set::difference`], and members of the other go with all that is below them.
    #[must_use]
    pub fn recursive_difference(&self, other: &Set) -> Set {
        self.join(other, &|a, b| {
            let (a, Some(b)) = (a?, b) else { return a.cloned() };
            if b.member {
                return None;
            }
            let children = a.children.recursive_difference(&b.children);
            Some(Node { element: a.element.clone(), member: a.member, children })
        })
    }

    fn join(&self, other: &Set, pick: &dyn Fn(Option<&Node>, Option<&Node>) -> Option<Node>) -> Set {
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        let mut nodes = Vec::with_capacity(self.nodes.len());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return Set { nodes },
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.element.cmp(&b.element),
            };
            let node = match order {
                Ordering::Less => pick(left.next(), None),
                Ordering::Greater => pick(None, right.next()),
                Ordering::Equal => pick(left.next(), right.next()),
            };
            nodes.extend(node.filter(|n| !n.is_empty()));
        }
    }

    /// Removes the fields at and below a path of field names.
    pub(crate) fn remove_below(&mut self, path: &[&str]) {
        self.take_out(path, true);
    }

    /// Removes one field, and nothing that is below it.
    pub(crate) fn remove_field(&mut self, path: &[&str]) {
        self.take_out(path, false);
    }

    fn take_out(&mut self, path: &[&str], with_children: bool) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = self.nodes.iter().position(|n| matches!(&n.element, Element::Field(name) if name == first));
        let Some(at) = at else { return };
        let node = &mut self.nodes[at];
        if !rest.is_empty() {
            node.children.take_out(rest, with_children);
        } else {
            node.member = false;
            if with_children {
                node.children = Set::new();
            }
        }
        if self.nodes[at].is_empty() {
            self.nodes.remove(at);
        }
    }

    /// Calls `f` with the path of every member: those of a level before what is below them.
    pub fn each(&self, f: &mut dyn FnMut(&[&Element])) {
        self.each_below(&mut Vec::new(), f);
    }

    fn each_below<'s>(&'s self, path: &mut Vec<&'s Element>, f: &mut dyn FnMut(&[&Element])) {
        for node in self.nodes.iter().filter(|n| n.member) {
            path.push(&node.element);
            f(path);
            path.pop();
        }
        for node in &self.nodes {
            path.push(&node.element);
            node.children.each_below(path, f);
            path.pop();
        }
    }

    /// The path of every member as text: `.spec.containers[name="c"].image`.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut all = Vec::new();
        self.each(&mut |path| all.push(path_text(path)));
        all
    }
}

fn path_text(path: &[&Element]) -> String {
    path.iter().fold(String::new(), |mut text, element| {
        let _ = write!(text, "{element}");
        text
    })
}

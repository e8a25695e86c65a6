//! The steps of a program. It must never hold what an evaluation changes.

use crate::cost::rules::Rule;
use crate::env::Overload;
use crate::value::{Key, Value};
use std::collections::HashSet;
use std::sync::Arc;

/// A step of a program.
pub(super) enum Node {
    Const(Value<'static>),
    /// A variable or value and what is selected from it.
    Attribute(Attribute),
    /// Whether the last selection finds something.
    Test(Attribute),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Equal(Box<[Node; 2]>),
    NotEqual(Box<[Node; 2]>),
    Call(Box<CallNode>),
    /// Membership in a list of constants.
    In(Box<(Node, HashSet<Key>)>),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct(Arc<str>, Vec<(Arc<str>, Node, bool)>),
    Fold(Box<FoldNode>),
    /// An optional, and what stands for it when it has no value; whether the value itself is wanted.
    Otherwise(Box<[Node; 2]>, bool),
}

pub(super) struct Attribute {
    pub(super) root: Root,
    pub(super) qualifiers: Vec<Qualifier>,
}

pub(super) enum Root {
    Variable(Arc<str>),
    Local(usize),
    Value(Box<Node>),
    Conditional(Box<(Node, Attribute, Attribute)>),
}

pub(super) struct Qualifier {
    pub(super) key: QualifierKey,
    pub(super) optional: bool,
    /// Only whether it is there is asked.
    pub(super) test: bool,
}

pub(super) enum QualifierKey {
    Const(Value<'static>),
    Attribute(Attribute),
    Value(Node),
}

pub(super) struct CallNode {
    pub(super) function: &'static str,
    /// What may be meant; the first that takes the arguments is called.
    pub(super) overloads: Vec<Overload>,
    /// The checker knew which.
    pub(super) sure: bool,
    pub(super) args: Vec<Node>,
    pub(super) rule: Rule,
}

pub(super) struct FoldNode {
    pub(super) range: Node,
    pub(super) init: Node,
    pub(super) condition: Node,
    pub(super) step: Node,
    pub(super) result: Node,
    pub(super) two: bool,
    /// The first of its local variables; the accumulator, then one or two.
    pub(super) slot: usize,
    /// How the accumulator grows, when it is a list or map that does nothing but grow.
    pub(super) grows: Grows,
    pub(super) bind: bool,
}

/// What a step does to the accumulator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Grows {
    No,
    /// `@result + [x]`
    List,
    /// `cel.@mapInsert(@result, …)`
    Map,
}

//! An argument of a call as its cost sees it. It must never look into the argument's value.

use super::range::Range;
use crate::ast::Expr;

/// An argument: the node, where it comes from, what is known of its size.
pub(super) struct Node<'c> {
    pub(super) expr: &'c Expr,
    pub(super) path: Option<Vec<String>>,
    pub(super) size: Option<Range>,
}

impl Node<'_> {
    pub(super) fn sized(&self) -> Range {
        self.size.unwrap_or(Range::UNKNOWN)
    }

    pub(super) fn literal(&self, otherwise: u64) -> u64 {
        self.expr.as_int().map_or(otherwise, |i| u64::try_from(i).unwrap_or(0))
    }
}

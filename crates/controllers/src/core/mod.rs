//! Core group: the projections that several controllers share, and the controllers of core kinds.

pub mod condition;
pub mod node;
pub mod pod;

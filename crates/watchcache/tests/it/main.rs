//! The cache over the store in memory, and over redb where threads matter.

mod lists;
mod model;
mod support;
mod threads;
mod watches;

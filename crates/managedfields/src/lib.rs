//! Who owns which fields of an object: what `metadata.managedFields` says, how writes change it, and server-side apply.
//! One piece of code over a value and its type for built-in kinds and custom resources alike.
//! It must never do I/O, read a clock, or know a kind by name.
// k8s: structured-merge-diff, staging/src/k8s.io/apimachinery/pkg/util/managedfields

mod compare;
mod conflict;
mod element;
mod engine;
pub mod entry;
mod fields;
pub mod fields_v1;
mod last_applied;
pub mod manager;
mod merge;
mod parts;
mod place;
mod prune;
mod remove;
pub mod scale;
mod set;

pub use compare::{Comparison, compare};
pub use conflict::Conflicts;
pub use element::Element;
pub use engine::{Applied, ApplyError, Engine, Typed, Versions};
pub use entry::{Entry, Identity, Operation};
pub use fields::{fields_of, validate};
pub use merge::merge;
pub use remove::{extract, remove};
pub use set::Set;

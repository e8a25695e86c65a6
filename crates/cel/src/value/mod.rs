//! Values and what can be done with any of them. It must never hold what is a library's.

mod compare;
mod convert;
mod data;
mod equal;
pub mod number;
mod text;
pub mod time;

pub use compare::{compare, order};
pub use convert::convert;
pub(crate) use data::loan;
pub use data::{Insert, Key, List, ListView, Map, MapView, Object, Opaque, OwnedMap, Semantics, Value};
pub use equal::equal;
pub use text::{Blob, Text};
pub use time::{Duration, Timestamp};

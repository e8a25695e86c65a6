//! Where objects are kept: the state that every request works on, the loop that every write goes through, and
//! pages and single objects as they are read. It must never know a verb, a plugin, or how an answer is encoded.

mod call;
pub mod object;
pub mod page;
pub mod peek;
pub mod remove;
mod rules;
mod state;
pub mod write;

pub(crate) use call::{AdmissionRequest, Asked, Call, Op, Plugin, Stages};
pub(crate) use rules::Rules;
pub(crate) use state::State;
pub use state::{NoTimer, Timer};

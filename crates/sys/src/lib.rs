//! The one door to wall clock and randomness. Everything else takes a `Clock` or an `Entropy`, so that a
//! simulation can put virtual time and a seed in their place. It must never hold policy.

mod clock;
mod entropy;
mod uuids;

pub use clock::{Clock, ManualClock, SystemClock};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy, uuid_v4};
pub use uuids::Uuids;

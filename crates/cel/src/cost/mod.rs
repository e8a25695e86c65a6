//! What expressions cost: estimated from what is known of sizes, and counted while they run.
//! It must never charge for one thing by two rules.
// k8s: github.com/google/cel-go checker/cost.go, interpreter/runtimecost.go

mod argument;
mod call;
mod estimate;
pub(crate) mod range;
pub(crate) mod rules;

pub use estimate::{NoSizes, Sizes, estimate};
pub use range::{Range, scale};

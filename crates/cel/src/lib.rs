//! Expressions with types and a cost budget, as Kubernetes v1.37 has them: `compile` reads and checks a text,
//! `cost::estimate` bounds what it can cost, [`Program`] evaluates it over borrowed data against a budget.
//! It must never do I/O, read a clock, panic on a text or a value, or do more than the budget pays for.

pub mod ast;
pub mod check;
pub mod cost;
mod declare;
pub mod env;
mod error;
pub mod escape;
pub mod eval;
mod lexer;
pub mod library;
pub mod macros;
mod meter;
pub mod parser;
mod re2;
mod source;
mod types;
mod unescape;
mod unify;
pub mod value;

pub use check::{Checked, check, compile};
pub use declare::{Call, Decl, Library};
pub use env::{Base, Env, Options, Types};
pub use error::Error;
pub use eval::{Activation, Evaluated, NoVariables, Program};
pub use meter::Meter;
pub use parser::{Ast, Limits, parse};
pub use source::{Issue, Issues, Location};
pub use types::Type;
pub use value::Value;

/// What one expression may cost while it is evaluated.
// k8s: staging/src/k8s.io/apiserver/pkg/apis/cel/config.go PerCallLimit
pub const PER_CALL_BUDGET: u64 = 1_000_000;
/// What all expressions about one object may cost together.
// k8s: staging/src/k8s.io/apiserver/pkg/apis/cel/config.go RuntimeCELCostBudget
pub const PER_OBJECT_BUDGET: u64 = 10_000_000;

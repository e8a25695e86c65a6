//! What a decider is made of: projections of objects, caches of them, the pure `Controller` trait with its
//! `Plan`, and the `Engine` that owns queue, back-off, timers and the revision gate.
//!
//! Nothing here does I/O, reads a clock or knows tokio: `control` drives an `Engine` over a real client,
//! the simulation drives the same `Engine` by single steps on virtual time.
//!
//! A driver's loop: apply watch events to [`Caches`], hand each resulting [`Change`] to
//! [`Engine::on_change`], take [`Work`] from [`Engine::next`], do it, and report to [`Engine::done`].

#![forbid(unsafe_code)]

mod action;
mod cache;
mod caches;
mod controller;
pub mod discovery;
mod engine;
mod event;
pub mod graph;
mod key;
mod limiter;
mod objectmeta;
mod projection;
mod queue;
mod selector;
pub mod time;
mod waits;

pub use action::{Action, Answer, Answers, Failure, Op, PatchKind, Plan, Step, namespace_terminating};
pub use cache::{Delta, KindCache};
pub use caches::{AnyCache, Caches, Change, ChangeKind, KindDecl, ParseError};
pub use controller::{Controller, Interests, KeySink};
pub use discovery::{Discovery, ResourceInfo};
pub use engine::{Engine, EngineConfig, Work, WorkId};
pub use event::{EventRecord, EventType, ObjectReference};
pub use graph::Graph;
pub use key::Key;
pub use limiter::{Backoff, Bucket};
pub use objectmeta::{ObjectMeta, OwnerReference, Partial, StrMap};
pub use projection::{IndexSink, Projection};
pub use selector::{LabelSelector, Operator, Requirement};

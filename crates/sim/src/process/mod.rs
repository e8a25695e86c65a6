//! What runs in the simulated cluster: processes that read through feeds and write through operations, and
//! know nothing of the world but what it tells them.

mod manager;
mod node;
mod schedule;

use std::sync::Arc;

use control::RawEvent;
use jiff::Timestamp;
use meta::{Gvr, Status};
use reconcile::{Answer, Op};

use crate::judge::Seen;

pub use manager::Manager;
pub use node::{Hollow, Machine};
pub use schedule::Schedule;

/// A collection that a process follows.
#[derive(Clone, Debug)]
pub struct FeedSpec {
    pub gvr: Gvr,
    pub field_selector: String,
    pub metadata_only: bool,
}

impl FeedSpec {
    /// All objects of a resource.
    #[must_use]
    pub fn all(gvr: Gvr) -> Self {
        FeedSpec { gvr, field_selector: String::new(), metadata_only: false }
    }
}

/// An operation to send.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Comes back with the answer.
    pub token: u64,
    pub op: Arc<Op>,
    /// The identity to send it with, when it is not the process's own.
    pub user: Option<String>,
    /// The watched controller that sends it, with what it had read when it decided.
    pub decided: Option<(&'static str, Seen)>,
}

/// What a process has to say to the trace, and mistakes that it has noticed.
#[derive(Debug)]
pub enum Note {
    Line(String),
    Broken(String),
}

/// A process. It keeps nothing over a restart but what [`Process::restarted`] carries over.
pub trait Process {
    /// What it follows; asked once, when it starts.
    fn feeds(&self) -> Vec<FeedSpec>;
    /// An event of one of its feeds.
    fn apply(&mut self, feed: usize, event: RawEvent, now: Timestamp);
    /// The answer to an operation.
    fn answer(&mut self, token: u64, result: Result<Answer, Status>, now: Timestamp);
    /// What to send now.
    fn turn(&mut self, now: Timestamp, out: &mut Vec<Outgoing>);
    /// When it wants to be asked again although nothing happened.
    fn next_wake(&self) -> Option<Timestamp>;
    /// For the trace.
    fn notes(&mut self) -> Vec<Note>;
    /// Work that is left; `None` when everything is at rest.
    fn busy(&self) -> Option<String>;
    /// A new incarnation after a crash of the process, which starts at that time.
    fn restarted(&self, seed: u64, at: Timestamp) -> Box<dyn Process>;
}

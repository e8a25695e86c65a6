//! For how long a node has not been heard from, measured on this process's clock alone.
//!
//! A node counts as heard from when what it wrote is seen to have changed. What it wrote is the time of its own
//! clock, which may be wrong by any amount. Silence adds up only while somebody looks: a process that slept, or
//! whose clock was set forward, has not listened in between.
// k8s: pkg/controller/nodelifecycle/node_lifecycle_controller.go nodeHealthData, tryUpdateNodeHealth

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::state::{Signs, State};

/// What was seen of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    uid: Arc<str>,
    signs: Signs,
    /// `None`: never.
    looked: Option<Timestamp>,
    silent: Duration,
    /// Whether it showed a sign of life between two looks.
    heard: bool,
    /// Whether no node at all was ready at the last look.
    none_ready: bool,
}

/// Whether this is new. A sign that is missing says nothing.
fn changed(new: Option<Timestamp>, old: &mut Option<Timestamp>) -> bool {
    let changed = new.is_some() && new != *old;
    *old = new.or(*old);
    changed
}

impl Seen {
    /// Looks at a node: for how long it has been silent. Zero at the first look, and at the first one at which some
    /// node is ready again: until then it was this process that nobody could reach. `gap`: how much of the time since
    /// the last look counts at most.
    pub(super) fn look(&mut self, state: &State, now: Timestamp, gap: Duration) -> Duration {
        let State { signs, node, some_ready, .. } = state;
        if self.uid != node.metadata.uid {
            *self = Seen { uid: node.metadata.uid.clone(), ..Seen::default() };
        }
        let back = std::mem::replace(&mut self.none_ready, !some_ready) && *some_ready;
        // Zero where the clock was set back.
        let passed = self.looked.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default());
        self.looked = Some(now);
        let renewed = changed(signs.renewed, &mut self.signs.renewed);
        let beat = changed(signs.beat, &mut self.signs.beat);
        self.heard |= passed.is_some() && (renewed || beat);
        self.silent = match passed {
            Some(passed) if !renewed && !beat && !back => self.silent + passed.min(gap),
            _ => Duration::ZERO,
        };
        self.silent
    }

    /// Whether it was seen to be alive within this time, whatever its conditions say.
    pub(super) fn alive(&self, grace: Duration) -> bool {
        self.heard && self.silent <= grace
    }
}

//! For how long a node has not been heard from, measured on this process's clock alone.
//!
//! A node counts as heard from when what it wrote is seen to have changed. What it wrote is the time of its own
//! clock, which may be wrong by any amount. Silence adds up only while somebody looks: a process that slept, or
//! whose clock was set forward, has not listened in between.
// k8s: pkg/controller/nodelifecycle/node_lifecycle_controller.go nodeHealthData, tryUpdateNodeHealth

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::state::Signs;

/// What was seen of one node.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    uid: Arc<str>,
    signs: Signs,
    /// `None`: never.
    looked: Option<Timestamp>,
    silent: Duration,
    /// Whether it showed a sign of life between two looks.
    heard: bool,
}

/// Whether this is new. A sign that is missing says nothing.
fn changed(new: Option<Timestamp>, old: &mut Option<Timestamp>) -> bool {
    let changed = new.is_some() && new != *old;
    *old = new.or(*old);
    changed
}

impl Seen {
    /// Looks at a node: for how long it has been silent. Zero at the first look. `gap`: how much of the time
    /// since the last look counts at most.
    pub(super) fn look(&mut self, uid: &Arc<str>, signs: &Signs, now: Timestamp, gap: Duration) -> Duration {
        if self.uid != *uid {
            *self = Seen { uid: uid.clone(), ..Seen::default() };
        }
        // Zero where the clock was set back.
        let passed = self.looked.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default());
        self.looked = Some(now);
        let renewed = changed(signs.renewed, &mut self.signs.renewed);
        let beat = changed(signs.beat, &mut self.signs.beat);
        self.heard |= passed.is_some() && (renewed || beat);
        self.silent = match passed {
            Some(passed) if !renewed && !beat => self.silent + passed.min(gap),
            _ => Duration::ZERO,
        };
        self.silent
    }

    /// Whether it was seen to be alive within this time, whatever its conditions say.
    pub(super) fn alive(&self, grace: Duration) -> bool {
        self.heard && self.silent <= grace
    }
}

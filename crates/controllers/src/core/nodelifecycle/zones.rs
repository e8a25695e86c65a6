//! How fast the nodes of a zone may be emptied: one at a time while most are well, more slowly or not at all
//! when so many are not that the fault is probably elsewhere.
// k8s: node_lifecycle_controller.go ComputeZoneState, ReducedQPSFunc

use std::time::Duration;

use jiff::Timestamp;
use reconcile::time;

use super::state::State;

/// Between two nodes of a zone.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// The same in a large zone with a disruption.
const SLOW_INTERVAL: Duration = Duration::from_secs(100);
/// A zone with more nodes than this is large.
const LARGE_ZONE: usize = 50;
/// Share of nodes not ready from which a zone is disrupted, in percent.
const UNHEALTHY_PERCENT: usize = 55;

pub(crate) enum Next {
    Now,
    At(Timestamp),
    /// Not as long as the other nodes are as they are.
    NotNow,
}

/// When the node may have its `NoExecute` taint.
pub(crate) fn next_taint(state: &State, now: Timestamp) -> Next {
    let z = &state.zone;
    // Nobody is well: it is more likely that this process cannot hear them. Not even pods that were told to leave
    // must then.
    // k8s: node_lifecycle_controller.go handleDisruption
    if !state.some_ready {
        return Next::NotNow;
    }
    // Pods that leave already, if for the other reason, must not be called back in between.
    if state.node.emptied() {
        return Next::Now;
    }
    let disrupted = z.not_ready > 2 && z.not_ready * 100 >= z.nodes * UNHEALTHY_PERCENT;
    let interval = match (z.not_ready == z.nodes, disrupted) {
        (true, _) | (false, false) => INTERVAL,
        (false, true) if z.nodes > LARGE_ZONE => SLOW_INTERVAL,
        (false, true) => return Next::NotNow,
    };
    // One after the other also when many are decided on before the first one's taint is seen.
    let turn = interval.saturating_mul(u32::try_from(z.ahead).unwrap_or(u32::MAX));
    // A time that is yet to come is of another clock and says nothing.
    let last = z.taints.iter().filter(|t| **t <= now).max();
    let earliest = last.map_or(now, |t| time::after(*t, interval));
    match time::after(earliest, turn) {
        at if at > now => Next::At(at),
        _ => Next::Now,
    }
}

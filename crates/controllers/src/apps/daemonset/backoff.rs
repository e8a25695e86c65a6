//! How long pods that failed stay where they are: a kubelet that refuses a pod refuses its successor as well.
// k8s: staging/src/k8s.io/client-go/util/flowcontrol/backoff.go, cmd/kube-controller-manager/app/apps.go

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reconcile::time;

use super::types::DaemonSet;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// When a failed pod was last deleted on each node, and how long the next one stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoffs {
    /// The daemon set and the generation that they count for.
    of: (Arc<str>, i64),
    nodes: BTreeMap<Box<str>, (Timestamp, Duration)>,
}

impl Backoffs {
    /// Forgets what is of another generation and what is long over.
    pub(super) fn refresh(&mut self, ds: &DaemonSet, now: Timestamp) {
        let of = (ds.metadata.uid.clone(), ds.status.observed_generation);
        if self.of != of {
            self.nodes.clear();
        }
        self.nodes.retain(|_, (last, _)| time::after(*last, LONGEST * 2) >= now);
        // What equals the default is not kept.
        self.of = if self.nodes.is_empty() { Default::default() } else { of };
    }

    /// Until when a failed pod on that node is to stay; `None`: it may go, which is taken note of.
    pub(super) fn hold(&mut self, ds: &DaemonSet, node: &str, now: Timestamp) -> Option<Timestamp> {
        let before = self.nodes.get(node).copied();
        let until = before.map(|(last, wait)| time::after(last, wait));
        if until.is_some_and(|t| t > now) {
            return until;
        }
        let wait = before.map_or(FIRST, |(_, wait)| (wait * 2).min(LONGEST));
        self.of = (ds.metadata.uid.clone(), ds.status.observed_generation);
        self.nodes.insert(node.into(), (now, wait));
        None
    }
}

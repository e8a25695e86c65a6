//! What a decision on a replica set is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use meta::Gvr;
use reconcile::Failure;

use crate::apps::types::ReplicaSet;
use crate::core::pod::{PODS, Pod};
use crate::owners::{Claimer, MayAdopt};
use crate::shared::workload::Workload;

/// At most so many pods are created or deleted by one decision.
// k8s: replica_set.go BurstReplicas
pub const BURST_REPLICAS: usize = 500;

/// Which of the two kinds a set is, by its resource and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetKind {
    pub gvr: Gvr,
    pub api_version: &'static str,
    pub kind: &'static str,
}

impl SetKind {
    /// That of a kind of objects.
    #[must_use]
    pub fn of<W: Workload>() -> Self {
        SetKind { gvr: W::GVR, api_version: W::API_VERSION, kind: W::KIND }
    }
}

impl Default for SetKind {
    fn default() -> Self {
        SetKind::of::<ReplicaSet>()
    }
}

/// What a decision on a replica set depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub kind: SetKind,
    pub rs: Arc<ReplicaSet>,
    /// Pods that it manages, and those that nobody manages and whose labels match.
    pub pods: Vec<Arc<Pod>>,
    pub may_adopt: MayAdopt,
    /// Active pods of the replica sets with the same owner, by node; only when pods must go.
    pub related: BTreeMap<Box<str>, usize>,
    pub failures: Vec<Failure>,
}

impl State {
    pub(crate) fn claimer(&self) -> Claimer<'_> {
        Claimer {
            owner: &self.rs.metadata,
            owner_gvr: self.kind.gvr.clone(),
            owner_api_version: self.kind.api_version,
            owner_kind: self.kind.kind,
            selector: &self.rs.spec.selector,
            gvr: PODS,
        }
    }

    /// The pods that it manages and that have not finished and are not being deleted.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.owned().filter(|p| p.active())
    }

    pub(crate) fn owned(&self) -> impl Iterator<Item = &Arc<Pod>> {
        crate::owners::owned(&self.pods, |p| &p.metadata, &self.rs.metadata, &self.rs.spec.selector)
    }
}

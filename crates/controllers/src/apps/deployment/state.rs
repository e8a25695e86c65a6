//! What a decision on a deployment is made from.

use std::sync::Arc;

use reconcile::{Failure, ObjectReference};

use crate::apps::types::{Deployment, REPLICASETS, ReplicaSet};
use crate::owners::{Claimer, MayAdopt};
use crate::shared::workload::Workload;

/// Which rollout a replica set stands for.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// The rollouts that a replica set stood for before.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Wanted pods of the deployment when the replica set was last scaled.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// Wanted pods and surge of the deployment when the replica set was last scaled.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// What a decision on a deployment depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub d: Arc<Deployment>,
    /// Replica sets that it manages, or that nobody manages and whose labels match; oldest first.
    pub sets: Vec<Arc<ReplicaSet>>,
    /// Another replica set that has the name which the next one would get.
    pub taken: Option<Arc<ReplicaSet>>,
    /// Only for the Recreate strategy: pods of old replica sets that have not come to their end.
    pub old_pods_run: bool,
    pub may_adopt: MayAdopt,
    pub failures: Vec<Failure>,
}

/// The deployment's replica sets: the one with its template, and the others, oldest first.
pub struct Sets<'a> {
    pub new: Option<&'a Arc<ReplicaSet>>,
    pub old: Vec<&'a Arc<ReplicaSet>>,
}

impl<'a> Sets<'a> {
    pub(crate) fn all(&self) -> impl Iterator<Item = &'a Arc<ReplicaSet>> {
        self.old.iter().copied().chain(self.new)
    }

    pub(crate) fn total(&self) -> i32 {
        self.all().map(|rs| rs.replicas()).sum()
    }

    pub(crate) fn available(&self) -> i32 {
        self.all().map(|rs| rs.status.available_replicas).sum()
    }

    /// Whether every replica set has told its status since it was last told a number. One that shrank and grew
    /// again before it was heard still shows pods that it is about to delete.
    pub(crate) fn heard(&self) -> bool {
        self.all().all(|rs| rs.status.observed_generation >= rs.metadata.generation)
    }

    /// Available pods that will still be there when every replica set has what it is told to have.
    pub(crate) fn lasting(&self) -> i32 {
        self.all().map(|rs| rs.status.available_replicas.min(rs.replicas())).sum()
    }
}

impl State {
    pub(crate) fn claimer(&self) -> Claimer<'_> {
        self.d.claimer(REPLICASETS)
    }

    pub(crate) fn split(&self) -> Sets<'_> {
        let template = self.d.spec.template.bare();
        let d = &self.d;
        let mut sets = Sets { new: None, old: Vec::new() };
        for rs in crate::owners::owned(&self.sets, |r| &r.metadata, &d.metadata, &d.spec.selector) {
            if sets.new.is_none() && rs.spec.template.bare() == template {
                sets.new = Some(rs);
            } else {
                sets.old.push(rs);
            }
        }
        sets
    }

    pub(crate) fn about(&self) -> ObjectReference {
        self.d.about()
    }
}

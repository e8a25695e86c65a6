//! Availability: a rolling update never leaves fewer than replicas minus `maxUnavailable` pods available by
//! its own doing.
//!
//! What the deployment controller promises is about the state that it has seen (`judge` holds every decision
//! to that). Of the truth it follows this much: from a moment on at which everything was settled (enough pods
//! available, the replica sets' statuses true, all of that known to the deployment controller) each pod that
//! the replica set controller takes away leaves enough. The promise ends, until all is settled again, when a
//! pod is lost in another way (it turns unready, is deleted, evicted, relabelled), when the numbers change, and
//! when a request lands that its sender could not reckon with any more.

use controllers::apps::types::Deployment;
use reconcile::{Key, ObjectMeta};

use super::{PodTruth, SetTruth, Truth, bounds};

impl Truth {
    /// The deployment whose replica set manages this object.
    fn behind(&self, pod: &ObjectMeta) -> Option<Key> {
        let set = self.sets.values().find(|s| pod.controlled_by(&s.set.metadata.uid))?;
        self.deployment_of(&set.set.metadata)
    }

    /// The deployment that manages this replica set.
    pub(super) fn deployment_of(&self, set: &ObjectMeta) -> Option<Key> {
        let owner = set.controller()?;
        let d = self.deployments.values().find(|d| d.deployment.metadata.uid == owner.uid)?;
        Some(d.deployment.metadata.key())
    }

    fn available_of(&self, set: &SetTruth, min_ready: i32, at: i64) -> i32 {
        let now = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::MAX);
        let pods = self.pods_of(&set.set.metadata.uid);
        let n = pods.filter(|p| p.pod.active() && p.pod.available(min_ready, now)).count();
        i32::try_from(n).unwrap_or(i32::MAX)
    }

    fn available(&self, d: &Deployment, at: i64) -> i64 {
        let sets = self.sets_of(&d.metadata.uid);
        sets.map(|s| i64::from(self.available_of(s, d.spec.min_ready_seconds, at))).sum()
    }

    /// Something happened to a deployment's pods that its controller could not reckon with.
    pub(super) fn unsettle(&mut self, deployment: Option<Key>) {
        if let Some(d) = deployment.and_then(|key| self.deployments.get_mut(&key)) {
            d.settled = false;
        }
    }

    /// Whether everything about a deployment is at rest, and its controller, which has just written, knows it.
    pub(super) fn is_settled(&self, d: &Deployment, at: i64) -> bool {
        let at_rest = |s: &SetTruth| {
            let (set, status) = (&s.set, &s.set.status);
            let active = self.pods_of(&set.metadata.uid).filter(|p| p.pod.active()).count();
            status.observed_generation == set.metadata.generation
                && set.metadata.resource_version <= self.sender.seen.replica_sets
                && status.available_replicas == self.available_of(s, d.spec.min_ready_seconds, at)
                && usize::try_from(status.replicas).ok() == Some(active)
                && i64::from(status.replicas) == s.replicas.now
        };
        self.sender.who == "deployment-controller"
            && !self.sender.late
            && !self.sender.abandoned
            && d.rolling()
            && d.replicas() > 0
            && d.status.observed_generation == d.metadata.generation
            && self.sets_of(&d.metadata.uid).all(at_rest)
            && self.available(d, at) >= i64::from(d.replicas())
            && self.sets_of(&d.metadata.uid).map(|s| s.replicas.now).sum::<i64>() <= bounds(d).0
    }

    /// A pod is not what it was: if that takes an available one away, enough must be left.
    pub(super) fn availability(
        &mut self,
        old: &PodTruth,
        new: Option<&PodTruth>,
        at: i64,
    ) -> Result<(), String> {
        let meta = &old.pod.metadata;
        let Some(key) = self.behind(meta) else { return Ok(()) };
        let Some(truth) = self.deployments.get(&key) else { return Ok(()) };
        let d = &truth.deployment;
        if !truth.settled || d.metadata.deleting() {
            return Ok(());
        }
        let now = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::MAX);
        let counts = |p: &PodTruth| p.pod.active() && p.pod.available(d.spec.min_ready_seconds, now);
        let kept = |n: &PodTruth| {
            let m = &n.pod.metadata;
            counts(n) && m.labels == meta.labels && m.owner_references == meta.owner_references
        };
        if !counts(old) || new.is_some_and(kept) {
            return Ok(());
        }
        let planned =
            self.sender.who == "replicaset-controller" && new.is_none_or(|n| n.pod.metadata.deleting());
        if !planned || self.sender.late || self.sender.abandoned {
            self.unsettle(Some(key));
            return Ok(());
        }
        let (left, least) = (self.available(d, at), truth.least);
        self.weighed += 1;
        if left < least {
            let name = &meta.name;
            return Err(format!(
                "{left} pods of {key} are available, at least {least} must be ({name} was deleted)"
            ));
        }
        Ok(())
    }
}

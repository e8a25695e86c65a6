//! Deployment: replaces pods of one template by pods of another through replica sets.
//!
//! Reads deployments, replica sets and pods; creates, scales, adopts and deletes replica sets, writes the
//! deployment's status and revision. It must never touch pods, and never have more pods than wanted plus
//! surge, or fewer available than wanted minus unavailable, by its own doing.
// k8s: pkg/controller/deployment/deployment_controller.go

mod cleanup;
mod newset;
mod rollout;
mod scale;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{
    Action, Answers, Caches, Controller, Delta, EventRecord, Failure, Interests, Key, KeySink,
    ObjectReference, Plan,
};
use serde_json::json;

use super::types::{BY_CONTROLLER, DEPLOYMENTS, Deployment, REPLICASETS, ReplicaSet};
use crate::core::condition::{self, Condition};
use crate::core::pod::{self, Pod};
use crate::owners::{Claimer, MayAdopt};

/// Which rollout a replica set stands for.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// The rollouts that a replica set stood for before.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Wanted pods of the deployment when the replica set was last scaled.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// Wanted pods and surge of the deployment when the replica set was last scaled.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// The controller.
pub struct Deployments;

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
pub(crate) struct Sets<'a> {
    pub(crate) new: Option<&'a Arc<ReplicaSet>>,
    pub(crate) old: Vec<&'a Arc<ReplicaSet>>,
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
        Claimer {
            owner: &self.d.metadata,
            owner_gvr: DEPLOYMENTS,
            owner_api_version: "apps/v1",
            owner_kind: "Deployment",
            selector: &self.d.spec.selector,
            gvr: REPLICASETS,
        }
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
        ObjectReference::to("apps/v1", "Deployment", &self.d.metadata)
    }
}

fn concerned(delta: &Delta<ReplicaSet>, caches: &Caches, sink: &mut KeySink) {
    for rs in delta.both() {
        match rs.metadata.controller() {
            Some(o) if &*o.kind == "Deployment" => sink.add(Key::new(&rs.metadata.namespace, &o.name)),
            Some(_) => {}
            None => {
                for d in caches.kind::<Deployment>().list(&rs.metadata.namespace) {
                    if !d.spec.selector.is_empty() && d.spec.selector.matches(&rs.metadata.labels) {
                        sink.add(d.metadata.key());
                    }
                }
            }
        }
    }
}

/// A Recreate deployment waits for the end of its old pods.
fn pod_gone(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    let Some(p) = delta.latest() else { return };
    if delta.new.as_ref().is_some_and(|p| !p.finished()) {
        return;
    }
    let Some(owner) = p.metadata.controller().filter(|o| &*o.kind == "ReplicaSet") else { return };
    let set = caches.kind::<ReplicaSet>().get(&p.metadata.namespace, &owner.name);
    let Some(d) = set.and_then(|rs| rs.metadata.controller()) else { return };
    let deployment = caches.kind::<Deployment>().get(&p.metadata.namespace, &d.name);
    if let Some(d) = deployment.filter(|d| !d.rolling()) {
        sink.add(d.metadata.key());
    }
}

impl Controller for Deployments {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.own::<Deployment>();
        i.on::<ReplicaSet>(concerned);
        i.on::<Pod>(pod_gone);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let d = caches.kind::<Deployment>().by_key(key)?.clone();
        let cached = caches.kind::<ReplicaSet>();
        let mut sets: Vec<Arc<ReplicaSet>> =
            cached.by_index(BY_CONTROLLER, &d.metadata.uid).cloned().collect();
        let orphans = cached.list(&d.metadata.namespace).filter(|rs| rs.metadata.controller().is_none());
        sets.extend(orphans.filter(|rs| d.spec.selector.matches(&rs.metadata.labels)).cloned());
        sets.sort_by(|a, b| {
            let at = |r: &ReplicaSet| (r.metadata.creation_timestamp, r.metadata.name.clone());
            at(a).cmp(&at(b))
        });
        let taken = cached.get(&d.metadata.namespace, &newset::name(&d)).cloned();
        let mut state = State {
            may_adopt: MayAdopt::from_answers(answers, &DEPLOYMENTS, &d.metadata),
            d,
            sets,
            taken,
            old_pods_run: false,
            failures: answers.failures.clone(),
        };
        if !state.d.rolling() {
            let pods = caches.kind::<Pod>();
            let old = state.split().old;
            let runs = old.iter().any(|rs| {
                rs.status.replicas > 0
                    || pods.by_index(pod::BY_CONTROLLER, &rs.metadata.uid).any(|p| !p.finished())
            });
            state.old_pods_run = runs;
        }
        Some(state)
    }

    // k8s: deployment_controller.go syncDeployment
    fn reconcile(&self, state: &State, _: &mut (), now: Timestamp) -> Plan {
        let d = &state.d;
        if d.spec.selector.is_empty() {
            return selects_everything(state);
        }
        if let Some(plan) = state.claimer().plan(state.sets.iter().map(|r| &r.metadata), state.may_adopt) {
            return plan;
        }
        let sets = state.split();
        let mut plan = Plan::default();
        if d.metadata.deleting() {
            status::write(state, &sets, d.status.conditions.clone(), now, &mut plan);
            return plan;
        }
        if let Some(condition) = paused_condition(d, now) {
            let mut conditions = d.status.conditions.clone();
            condition::set(&mut conditions, condition);
            plan.always(vec![status::conditions_only(d, &conditions)]);
            return plan;
        }
        if d.spec.paused || scale::is_scaling(d, &sets) {
            if newset::sync_existing(state, &sets, now, &mut plan) {
                return plan;
            }
            scale::scale(state, &sets, &mut plan);
            if d.spec.paused {
                cleanup::old_sets(d, &sets, &mut plan);
            }
            status::write(state, &sets, d.status.conditions.clone(), now, &mut plan);
            return plan;
        }
        if d.rolling() {
            rollout::rolling(state, &sets, now, &mut plan);
        } else {
            rollout::recreate(state, &sets, now, &mut plan);
        }
        plan
    }
}

fn selects_everything(state: &State) -> Plan {
    let d = &state.d;
    let message = "This deployment is selecting all pods. A non-empty selector is required.";
    let mut plan = Plan::default();
    if d.status.observed_generation < d.metadata.generation {
        plan.events.push(EventRecord::warning(state.about(), "SelectingAll", message));
        let status = json!({"observedGeneration": d.metadata.generation});
        plan.step(vec![Action::status_patch(DEPLOYMENTS, &d.metadata, &status)]);
    }
    plan
}

/// The Progressing condition that says a deployment was paused or resumed, when it is due.
// k8s: sync.go checkPausedConditions
fn paused_condition(d: &Deployment, now: Timestamp) -> Option<Condition> {
    d.progress_deadline()?;
    let reason = condition::find(&d.status.conditions, "Progressing").map(|c| &*c.reason);
    let new = match (d.spec.paused, reason) {
        (_, Some("ProgressDeadlineExceeded")) | (true, Some("DeploymentPaused")) | (false, None) => {
            return None;
        }
        (true, _) => {
            Condition::new("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now)
        }
        (false, Some("DeploymentPaused")) => {
            Condition::new("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now)
        }
        (false, Some(_)) => return None,
    };
    Some(Condition { last_update_time: new.last_transition_time, ..new })
}

#[cfg(test)]
mod tests;

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
mod state;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use reconcile::{Action, Answers, Caches, Controller, Delta, EventRecord, Interests, Key, KeySink, Plan};
use serde_json::json;

pub use self::state::{DESIRED_REPLICAS, MAX_REPLICAS, REVISION, REVISION_HISTORY, Sets, State};
use super::types::{DEPLOYMENTS, Deployment, ReplicaSet};
use crate::core::condition::{self, Condition};
use crate::core::pod::{self, Pod};
use crate::owners::MayAdopt;
use crate::shared::workload::{concerned, dependents};

/// The controller.
pub struct Deployments;

/// A Recreate deployment waits for the end of its old pods.
fn pod_gone(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    let Some(p) = delta.latest() else { return };
    if delta.new.as_ref().is_some_and(|p| !p.finished()) {
        return;
    }
    let Some(owner) = p.metadata.controller().filter(|o| o.is_a("apps", "ReplicaSet")) else { return };
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
        i.on::<ReplicaSet>(concerned::<Deployment, ReplicaSet>);
        i.on::<Pod>(pod_gone);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<State> {
        let d = caches.kind::<Deployment>().by_key(key)?.clone();
        let cached = caches.kind::<ReplicaSet>();
        let mut sets: Vec<Arc<ReplicaSet>> = dependents(&*d, caches);
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

//! What a budget's status becomes: who of the evicted is still to go, who is healthy, how many more may go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reconcile::{Action, EventRecord, ObjectReference, Plan, time};
use serde_json::{Value, json};

use super::expected::Expected;
use super::state::Covered;
use super::types::{BUDGETS, Budget};
use crate::core::condition::find;
use crate::core::pod::Pod;

/// How long after its eviction was granted a pod must be seen to go.
// k8s: pkg/controller/disruption/disruption.go DeletionTimeout
const DELETION_TIMEOUT: Duration = Duration::from_secs(120);

const ALLOWED: &str = "DisruptionAllowed";

/// Plans the status that these numbers give.
// k8s: pkg/controller/disruption/disruption.go trySync, updatePdbStatus
pub(super) fn counted(state: &Covered, expected: &Expected, now: Timestamp, plan: &mut Plan) {
    let budget = &state.budget;
    let disrupted = disrupted(state, now, plan);
    let counts =
        |p: &&Arc<Pod>| !p.metadata.deleting() && !disrupted.contains_key(&*p.metadata.name) && p.ready();
    let healthy = i32::try_from(state.pods.iter().filter(counts).count()).unwrap_or(i32::MAX);
    // With no pods expected nothing is allowed: the first pods appear before the status tells of them.
    let allowed = if expected.pods > 0 { healthy.saturating_sub(expected.healthy).max(0) } else { 0 };
    let (word, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let old = &budget.status;
    let told = |(name, at): (&&str, &Timestamp)| old.disrupted_pods.get(*name) == Some(&Some(*at));
    let condition = find(&old.conditions, ALLOWED);
    if (old.current_healthy, old.desired_healthy, old.expected_pods, old.disruptions_allowed)
        == (healthy, expected.healthy, expected.pods, allowed)
        && old.disrupted_pods.len() == disrupted.len()
        && disrupted.iter().all(|(name, at)| told((&&**name, at)))
        && old.observed_generation == budget.metadata.generation
        && condition.is_some_and(|c| (&*c.status, &*c.reason) == (word, reason))
    {
        return;
    }
    let mut status = json!({
        "observedGeneration": budget.metadata.generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": expected.healthy,
        "expectedPods": expected.pods,
        "conditions": conditions(budget, (word, reason, ""), budget.metadata.generation, now),
    });
    if !disrupted.is_empty() {
        let times = disrupted.iter().map(|(name, at)| (name.to_string(), time::rfc3339(*at).into()));
        status["disruptedPods"] = Value::Object(times.collect());
    }
    plan.step(vec![write(budget, status)]);
}

/// Plans that nothing more is allowed, since the numbers cannot be told.
// k8s: pkg/controller/disruption/disruption.go failSafe
pub(super) fn failed(budget: &Budget, why: &str, now: Timestamp, plan: &mut Plan) {
    let mut status = budget.whole_status().clone();
    if !status.is_object() {
        status = json!({"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0});
    }
    status["disruptionsAllowed"] = 0.into();
    let seen = budget.status.observed_generation;
    status["conditions"] = conditions(budget, ("False", "SyncFailed", why), seen, now).into();
    if status != *budget.whole_status() {
        plan.step(vec![write(budget, status)]);
    }
}

fn write(budget: &Budget, status: Value) -> Action {
    let object = budget.with_status(status);
    Action::update(BUDGETS, &budget.metadata.key(), "status", &object).tolerate(&["NotFound"])
}

/// The budget's conditions with this one of status, reason and message.
// k8s: staging/src/k8s.io/component-helpers/apps/poddisruptionbudget/helpers.go UpdateDisruptionAllowedCondition
fn conditions(
    budget: &Budget,
    (word, reason, message): (&str, &str, &str),
    generation: i64,
    now: Timestamp,
) -> Vec<Value> {
    let mut list = budget.whole_conditions();
    let mut new = json!({
        "type": ALLOWED, "status": word, "reason": reason, "message": message,
        "lastTransitionTime": time::rfc3339(now),
    });
    if generation != 0 {
        new["observedGeneration"] = generation.into();
    }
    match list.iter_mut().find(|c| c["type"] == ALLOWED) {
        Some(old) => {
            if old["status"] == *word && old["lastTransitionTime"].is_string() {
                new["lastTransitionTime"] = old["lastTransitionTime"].take();
            }
            *old = new;
        }
        None => list.push(new),
    }
    list
}

/// Those whose eviction was granted and that are not seen to go yet. Who is not gone in time is told of and counts
/// again.
// k8s: pkg/controller/disruption/disruption.go buildDisruptedPodMap
fn disrupted<'a>(state: &'a Covered, now: Timestamp, plan: &mut Plan) -> BTreeMap<&'a str, Timestamp> {
    let mut out = BTreeMap::new();
    let budget = &state.budget;
    if state.lagging {
        // Upstream drops them, and then counts them as healthy as soon as its cache has seen them.
        let unseen = |name: &str| !state.pods.iter().any(|p| *p.metadata.name == *name);
        for (name, at) in budget.status.disrupted_pods.iter().filter(|(name, _)| unseen(name)) {
            let at = at.unwrap_or(Timestamp::UNIX_EPOCH);
            let end = time::after(at, DELETION_TIMEOUT);
            if end > now {
                plan.requeue_by(end);
                out.insert(&**name, at);
            }
        }
    }
    for pod in state.pods.iter().filter(|p| !p.metadata.deleting()) {
        let Some(at) = budget.status.disrupted_pods.get(&*pod.metadata.name) else { continue };
        let at = at.unwrap_or(Timestamp::UNIX_EPOCH);
        let end = time::after(at, DELETION_TIMEOUT);
        if end <= now {
            let about = ObjectReference::to("v1", "Pod", &pod.metadata);
            let why = format!(
                "Pod was expected by PDB {}/{} to be deleted but it wasn't",
                budget.metadata.namespace, budget.metadata.name
            );
            plan.events.push(EventRecord::warning(about, "NotDeleted", why));
        } else {
            plan.requeue_by(end);
            out.insert(&*pod.metadata.name, at);
        }
    }
    out
}

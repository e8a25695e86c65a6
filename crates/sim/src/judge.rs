//! Looks over the shoulder of the controllers that replace pods: every decision is judged on the very state
//! that it was made on, and what that state was is remembered for the rules of the store's truth. It must not
//! share code with what it judges but the projections.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;

use controllers::apps::types::{Deployment, REPLICASETS, ReplicaSet};
use controllers::apps::{deployment, replicaset};
use controllers::core::pod::{PODS, Pod};
use jiff::Timestamp;
use parking_lot::Mutex;
use reconcile::{Answers, Caches, Controller, Interests, Key, Op, Plan, Projection};
use serde_json::Value;

use crate::truth::bounds;

/// How far somebody had read each resource when it decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub deployments: u64,
    pub replica_sets: u64,
    pub pods: u64,
}

impl Seen {
    /// Nobody knows more.
    pub const ALL: Seen = Seen { deployments: u64::MAX, replica_sets: u64::MAX, pods: u64::MAX };
}

#[derive(Default)]
struct Notes {
    broken: Vec<String>,
    decided: BTreeMap<(&'static str, Key), Seen>,
}

/// What was noticed, and what the last decision on each key of each controller had seen.
#[derive(Clone, Default)]
pub struct Judge(Arc<Mutex<Notes>>);

fn as_it_is(_: &mut deployment::State) {}

/// A mistake on purpose: every replica set counts as heard since it was last told a number.
fn all_heard(s: &mut deployment::State) {
    for set in &mut s.sets {
        let set = Arc::make_mut(set);
        set.status.observed_generation = set.metadata.generation;
    }
}

impl Judge {
    /// What was wrong since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().broken)
    }

    /// What the plan that is running for a key had seen; `None` when nobody watches that controller.
    #[must_use]
    pub fn seen(&self, controller: &'static str, key: &Key) -> Option<Seen> {
        self.0.lock().decided.get(&(controller, key.clone())).copied()
    }

    /// The deployment controller, watched. `credulous`: it does not wait for replica sets to be heard.
    #[must_use]
    pub fn deployments(&self, credulous: bool) -> Watched<deployment::Deployments> {
        let spoil = if credulous { all_heard } else { as_it_is };
        Watched { inner: deployment::Deployments, judge: self.clone(), rule: rollout, spoil }
    }

    /// The replica set controller, watched.
    #[must_use]
    pub fn replica_sets(&self) -> Watched<replicaset::ReplicaSets> {
        Watched { inner: replicaset::ReplicaSets, judge: self.clone(), rule: victims, spoil: |_| {} }
    }
}

/// A controller with a judge behind it.
pub struct Watched<C: Controller> {
    inner: C,
    judge: Judge,
    rule: fn(&C::State, &Plan, Timestamp) -> Result<(), String>,
    /// Distorts the state that is decided on.
    spoil: fn(&mut C::State),
}

/// The revision of `P` that has been read; everything when the controller does not read it.
fn read<P: Projection>(caches: &Caches) -> u64 {
    caches.any(TypeId::of::<P>()).map_or(u64::MAX, reconcile::AnyCache::seen)
}

impl<C: Controller> Controller for Watched<C>
where
    C::State: Clone,
{
    type State = C::State;
    type Memory = C::Memory;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn interests(&self, interests: &mut Interests) {
        self.inner.interests(interests);
    }

    fn observe(&self, key: &Key, caches: &Caches, answers: &Answers) -> Option<C::State> {
        let seen = Seen {
            deployments: read::<Deployment>(caches),
            replica_sets: read::<ReplicaSet>(caches),
            pods: read::<Pod>(caches),
        };
        self.judge.0.lock().decided.insert((self.name(), key.clone()), seen);
        self.inner.observe(key, caches, answers)
    }

    fn reconcile(&self, state: &C::State, memory: &mut C::Memory, now: Timestamp) -> Plan {
        let mut spoilt = state.clone();
        (self.spoil)(&mut spoilt);
        let plan = self.inner.reconcile(&spoilt, memory, now);
        if let Err(why) = (self.rule)(state, &plan, now) {
            self.judge.0.lock().broken.push(format!("{}: {why}", self.name()));
        }
        plan
    }
}

/// The numbers that a plan gives to replica sets, by name, in its order.
fn sizes(plan: &Plan) -> Vec<(&str, i64)> {
    let number = |body: &[u8]| serde_json::from_slice::<Value>(body).ok()?["spec"]["replicas"].as_i64();
    let size = |op: &'_ Op| match op {
        Op::Patch { gvr, sub: "", body, .. } | Op::Create { gvr, body, .. } if *gvr == REPLICASETS => {
            number(body)
        }
        _ => None,
    };
    plan.actions().filter_map(|a| Some((a.op.target().1, size(&a.op)?))).collect()
}

/// What a rolling update may do to its replica sets.
///
/// It takes pods away only as long as enough of those that it knows to be available stay: of a replica set,
/// as many as are available and as it is told to have, and none while it has not said anything since it was
/// last told a number, for the pods that it shows may be those that it is about to delete. When there were too
/// few before, none of these go. At no step does it ask for more than replicas and surge, unless that was so
/// before.
///
/// Availability is not asked of a decision that follows a changed number of replicas, which is spread over the
/// sets in proportion, nor when a paused rollout has more pods than it may have, which go in proportion too.
fn rollout(s: &deployment::State, plan: &Plan, _now: Timestamp) -> Result<(), String> {
    let d = &s.d;
    if &*d.spec.strategy.kind == "Recreate" {
        return Ok(());
    }
    let name = d.metadata.key();
    let owned: Vec<&Arc<ReplicaSet>> =
        s.sets.iter().filter(|r| r.metadata.controlled_by(&d.metadata.uid)).collect();
    let wants = |r: &ReplicaSet| i64::from(r.spec.replicas.unwrap_or(1));
    let (most, least) = bounds(d);
    let steps = sizes(plan);
    let mut now: BTreeMap<&str, i64> = owned.iter().map(|r| (&*r.metadata.name, wants(r))).collect();
    let before: i64 = now.values().sum();
    for (set, size) in &steps {
        now.insert(set, *size);
        let total: i64 = now.values().sum();
        if total > before.max(most) {
            return Err(format!("{name} asks for {total} pods, allowed are {most}: {steps:?}"));
        }
    }
    let told = |r: &ReplicaSet| r.annotated(deployment::DESIRED_REPLICAS);
    let rescaled = owned.iter().any(|r| wants(r) > 0 && told(r).is_some_and(|n| Some(n) != d.spec.replicas));
    let trimmed = d.spec.paused && before > most;
    let after = |r: &ReplicaSet| now.get(&*r.metadata.name).copied().unwrap_or(0);
    if rescaled || trimmed || owned.iter().all(|r| after(r) >= wants(r)) {
        return Ok(());
    }
    let sure = |r: &ReplicaSet, size: i64| {
        let heard = r.status.observed_generation >= r.metadata.generation;
        if heard { i64::from(r.status.available_replicas).min(size) } else { 0 }
    };
    let stay: i64 = owned.iter().map(|r| sure(r, after(r))).sum();
    let were: i64 = owned.iter().map(|r| sure(r, wants(r))).sum();
    if stay < were.min(least) {
        return Err(format!("{name} leaves {stay} of {were} available pods, {least} must stay: {steps:?}"));
    }
    Ok(())
}

/// What a replica set may do to its pods: delete only those too many, the available ones last, and create no
/// more than are missing.
fn victims(s: &replicaset::State, plan: &Plan, now: Timestamp) -> Result<(), String> {
    let (rs, key) = (&s.rs, s.rs.metadata.key());
    let mine = |p: &&Arc<Pod>| {
        p.metadata.controlled_by(&rs.metadata.uid)
            && rs.spec.selector.matches(&p.metadata.labels)
            && p.active()
    };
    let active: Vec<&Arc<Pod>> = s.pods.iter().filter(mine).collect();
    let goes = |p: &Pod| {
        plan.actions().any(|a| {
            matches!(&a.op, Op::Delete { gvr, uid: Some(uid), .. } if *gvr == PODS && *uid == p.metadata.uid)
        })
    };
    let available = |p: &Pod| p.available(rs.spec.min_ready_seconds, now);
    let wants = usize::try_from(rs.spec.replicas.unwrap_or(1)).unwrap_or(0);
    let (gone, kept): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = active.iter().partition(|p| goes(p));
    if gone.len() > active.len().saturating_sub(wants) {
        return Err(format!("{key} wants {wants} pods, has {} and deletes {}", active.len(), gone.len()));
    }
    let (lost, spared) = (gone.iter().find(|p| available(p)), kept.iter().find(|p| !available(p)));
    if let (Some(lost), Some(spared)) = (lost, spared) {
        let (lost, spared) = (&lost.metadata.name, &spared.metadata.name);
        return Err(format!("{key} deletes {lost}, which is available, and keeps {spared}, which is not"));
    }
    let made = plan.actions().filter(|a| matches!(&a.op, Op::Create { gvr, .. } if *gvr == PODS)).count();
    if made > wants.saturating_sub(active.len()) {
        return Err(format!("{key} wants {wants} pods, has {} and creates {made}", active.len()));
    }
    Ok(())
}

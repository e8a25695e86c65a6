//! The revisions of a daemon set: which one is of its template, and which are kept.
// k8s: pkg/controller/daemon/update.go constructHistory, cleanupHistory

use std::collections::BTreeSet;
use std::sync::Arc;

use reconcile::{Action, Plan};
use serde_json::json;

use super::state::{State, target};
use super::types::DAEMON_SETS;
use crate::core::pod::PODS;
use crate::owners;
use crate::shared::revision::{self, REVISION_HASH, REVISIONS, Revision};

/// What the revisions say.
pub(super) enum History<'a> {
    /// They must be put in order first.
    Unsettled(Plan),
    Settled {
        /// The current one's label.
        hash: &'a str,
        old: Vec<&'a Arc<Revision>>,
    },
}

fn hash_of(r: &Revision) -> &str {
    r.metadata.labels.get(REVISION_HASH).unwrap_or_default()
}

fn label(gvr: meta::Gvr, m: &reconcile::ObjectMeta, value: &str) -> Action {
    let body = json!({"metadata": {"uid": m.uid, "labels": {REVISION_HASH: value}}});
    Action::merge_patch(gvr, &m.key(), "", &body).tolerate(&["NotFound"])
}

pub(super) fn settle(state: &State) -> History<'_> {
    let ds = &*state.ds;
    let own: Vec<&Arc<Revision>> =
        owners::owned(&state.revisions, |r| &r.metadata, &ds.metadata, &ds.spec.selector).collect();
    let bare = own.iter().filter(|r| hash_of(r).is_empty());
    let labels: Vec<Action> = bare.map(|r| label(REVISIONS, &r.metadata, &r.metadata.name)).collect();
    if !labels.is_empty() {
        return History::Unsettled(Plan::of(labels));
    }
    let (current, old): (Vec<_>, Vec<_>) = own.into_iter().partition(|r| r.data == ds.data);
    let number = old.iter().map(|r| r.revision).max().unwrap_or(0).max(0).saturating_add(1);
    let Some(keep) = current.iter().copied().max_by_key(|r| r.revision) else {
        return missing(state, old, number);
    };
    if current.len() > 1 {
        return History::Unsettled(merge(state, &current, keep));
    }
    if keep.revision < number {
        return History::Unsettled(Plan::of(vec![revision::renumber(keep, number)]));
    }
    History::Settled { hash: hash_of(keep), old }
}

/// Makes the revision of the current template.
// k8s: pkg/controller/daemon/update.go snapshot
fn missing<'a>(state: &'a State, old: Vec<&'a Arc<Revision>>, number: i64) -> History<'a> {
    let ds = &*state.ds;
    match &state.named {
        Some(r) if r.data == ds.data => History::Settled { hash: hash_of(r), old },
        // Another template has the same hash: it is set apart by the number of such cases.
        Some(_) => {
            let count = ds.status.collision_count.unwrap_or(0).saturating_add(1);
            let body = json!({"collisionCount": count});
            let plan = Plan::of(vec![Action::status_patch(DAEMON_SETS, &ds.metadata, &body)]);
            History::Unsettled(plan)
        }
        None => {
            let hash = ds.data.hash(ds.status.collision_count);
            let labels = ds.spec.template.labels.with(REVISION_HASH, &hash);
            let name = revision::name(&ds.metadata.name, &hash);
            let create = revision::create(ds, &ds.data, &labels, &name, number);
            History::Unsettled(Plan::of(vec![create]))
        }
    }
}

/// Leaves one of several revisions of the same template; the pods of the others become its own first.
// k8s: pkg/controller/daemon/update.go dedupCurHistories
fn merge(state: &State, current: &[&Arc<Revision>], keep: &Revision) -> Plan {
    let hash = hash_of(keep);
    let others = state.owned().filter(|p| p.metadata.labels.get(REVISION_HASH) != Some(hash));
    let mut plan = Plan::of(others.map(|p| label(PODS, &p.metadata, hash)).collect());
    let double = current.iter().filter(|r| r.metadata.uid != keep.metadata.uid);
    plan.step(double.map(|r| Action::delete(REVISIONS, &r.metadata)).collect());
    plan
}

/// Deletes the oldest of more revisions than are to be kept, but none that a pod is of.
pub(super) fn cleanup(state: &State, mut old: Vec<&Arc<Revision>>) -> Vec<Action> {
    let keep = usize::try_from(state.ds.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
    let excess = old.len().saturating_sub(keep);
    if excess == 0 {
        return Vec::new();
    }
    let pods = state.owned().filter(|p| !target(p).is_empty());
    let live: BTreeSet<&str> = pods.filter_map(|p| p.metadata.labels.get(REVISION_HASH)).collect();
    old.sort_by_key(|r| r.revision);
    let dead = old.into_iter().filter(|r| !live.contains(hash_of(r)));
    dead.take(excess).map(|r| Action::delete(REVISIONS, &r.metadata)).collect()
}

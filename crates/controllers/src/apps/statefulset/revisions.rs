//! Which revision pods are of: the one that they had before, and the one of the template as it is.
// k8s: pkg/controller/statefulset/stateful_set_control.go getStatefulSetRevisions, truncateHistory

use std::collections::BTreeSet;

use reconcile::{Action, Plan};
use serde_json::json;

use super::state::{Members, State, next_revision, revision_of};
use super::types::STATEFULSETS;
use crate::shared::revision::{self, DATA_HASH, Data, REVISIONS, Revision};
use crate::shared::template::Template;

/// The two revisions.
pub(super) struct Chosen {
    pub current: String,
    pub update: String,
    /// The template of the current one.
    pub before: Template,
}

/// Chooses the revisions. `None`: one has to be made or changed first, as the plan says.
pub(super) fn choose(state: &State, plan: &mut Plan) -> Option<Chosen> {
    let set = &state.set;
    let data = Data::of(&set.spec.template);
    let last = state.own_revisions().next_back();
    let Some(update) = state.own_revisions().rfind(|r| r.data == data) else {
        if !set.metadata.deleting() {
            create(state, &data, last.map_or(1, |r| r.revision + 1), plan);
        }
        return None;
    };
    if let Some(last) = last.filter(|last| last.data != data) {
        // What is wanted was before: a rollback.
        if !set.metadata.deleting() {
            plan.step(vec![revision::renumber(update, last.revision + 1)]);
        }
        return None;
    }
    let current = state.own_revisions().find(|r| *r.metadata.name == *set.status.current_revision);
    let current = current.unwrap_or(update);
    let before = if current.metadata.name == update.metadata.name {
        set.spec.template.clone()
    } else {
        current.data.template().unwrap_or_else(|| set.spec.template.clone())
    };
    let name = |r: &Revision| r.metadata.name.to_string();
    Some(Chosen { current: name(current), update: name(update), before })
}

fn create(state: &State, data: &Data, number: i64, plan: &mut Plan) {
    let set = &state.set;
    let (name, hash) = next_revision(set, data);
    if let Some(other) = &state.same_name {
        let earlier = |r: &Revision| {
            let owner = r.metadata.controller();
            owner.is_some_and(|o| o.is_a("apps", "StatefulSet") && *o.name == *set.metadata.name)
        };
        if other.data == *data && earlier(other) {
            // A set of this name that was here before is being cleaned up.
            plan.retry = true;
            return;
        }
        // The name belongs to something else: count up, so that the hash differs.
        let body = json!({"collisionCount": set.status.collision_count.unwrap_or(0) + 1});
        plan.step(vec![Action::status_patch(STATEFULSETS, &set.metadata, &body)]);
        return;
    }
    let labels = set.spec.template.labels.with(DATA_HASH, &hash);
    plan.step(vec![revision::create(&**set, data, &labels, &name, number)]);
}

/// Deletes the oldest of the revisions that no pod is of, when there are more than are to be kept.
pub(super) fn truncate(state: &State, chosen: &Chosen, members: &Members<'_>, plan: &mut Plan) {
    let Ok(limit) = usize::try_from(state.set.spec.revision_history_limit.unwrap_or(10)) else { return };
    let mut live: BTreeSet<&str> = members.all().map(revision_of).collect();
    live.extend([&*chosen.current, &*chosen.update]);
    let history: Vec<&Revision> =
        state.own_revisions().map(|r| &**r).filter(|r| !live.contains(&*r.metadata.name)).collect();
    let surplus = history.len().saturating_sub(limit);
    plan.always(history[..surplus].iter().map(|r| Action::delete(REVISIONS, &r.metadata)).collect());
}

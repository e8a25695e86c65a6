//! Pods of older revisions go, the highest number first, so that they are made again of the new one.
// k8s: pkg/controller/statefulset/stateful_set_control.go updateStatefulSetAfterInvariantEstablished

use reconcile::{Action, Plan};

use super::make;
use super::replicas::Round;
use super::state::{revision_of, unavailable};
use crate::core::pod::Pod;

impl Round<'_> {
    /// Plans which pods go for the update.
    pub(super) fn update(&self, plan: &mut Plan) {
        let set = &self.state.set;
        let down = |p: &Pod| unavailable(set, p, self.now);
        let wanted = &self.members.wanted;
        let missing = set.replicas() - i64::try_from(wanted.len()).unwrap_or(i64::MAX);
        let already = wanted.values().filter(|p| down(p)).count();
        let already = missing + i64::try_from(already).unwrap_or(i64::MAX);
        let room = usize::try_from(set.max_unavailable() - already).unwrap_or(0);
        let old = |p: &&Pod| revision_of(p) != self.chosen.update && !p.metadata.deleting();
        let partition = set.partition();
        let from_above = || wanted.iter().rev().take_while(|(n, _)| **n >= partition).map(|(_, p)| *p);
        let mut go: Vec<Action> = Vec::new();
        if set.parallel() {
            // First those that serve nobody: they cost nothing. One that has come to its end goes anyway.
            let useless = from_above().filter(old).filter(|p| down(p) && !p.finished());
            go.extend(useless.map(|p| make::delete(set, p)));
            let others = from_above().filter(old).filter(|p| !down(p));
            go.extend(others.take(room).map(|p| make::delete(set, p)));
        } else {
            go.extend(from_above().filter(old).take(room).map(|p| make::delete(set, p)));
        }
        plan.step(go);
    }
}

//! What the status of a terminating namespace says about its end.
// k8s: pkg/controller/namespace/deletion/status_condition_utils.go

use std::collections::BTreeMap;

use jiff::Timestamp;
use reconcile::Op;

use super::state::State;
use crate::core::condition::{self, Condition};

/// A condition with the texts for when it is not the case.
fn negative(kind: &str, now: Timestamp) -> Condition {
    let (reason, message) = match kind {
        "NamespaceDeletionDiscoveryFailure" => {
            ("ResourcesDiscovered", "All resources successfully discovered")
        }
        "NamespaceDeletionGroupVersionParsingFailure" => {
            ("ParsedGroupVersions", "All legacy kube types successfully parsed")
        }
        "NamespaceDeletionContentFailure" => {
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization")
        }
        "NamespaceContentRemaining" => ("ContentRemoved", "All content successfully removed"),
        _ => ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    };
    Condition::new(kind, "False", reason, message, now)
}

pub(crate) fn compute(state: &State, now: Timestamp) -> Vec<Condition> {
    let mut out = state.ns.status.conditions.clone();
    let positive = [
        ("NamespaceDeletionDiscoveryFailure", "DiscoveryFailed", discovery(state)),
        ("NamespaceDeletionGroupVersionParsingFailure", "GroupVersionParsingFailed", None),
        ("NamespaceDeletionContentFailure", "ContentDeletionFailed", content_failure(state)),
        ("NamespaceContentRemaining", "SomeResourcesRemain", remaining(state)),
        ("NamespaceFinalizersRemaining", "SomeFinalizersRemain", finalizers(state)),
    ];
    for (kind, reason, message) in positive {
        let new = match message {
            Some(m) => Condition::new(kind, "True", reason, m, now),
            None => negative(kind, now),
        };
        put(&mut out, new);
    }
    out
}

/// Replaces a condition in its place; the transition time stays when the status does.
fn put(conditions: &mut Vec<Condition>, mut new: Condition) {
    if let Some(old) = condition::find(conditions, &new.kind)
        && old.status == new.status
    {
        new.last_transition_time = old.last_transition_time;
    }
    match conditions.iter_mut().find(|c| c.kind == new.kind) {
        Some(c) => *c = new,
        None => conditions.push(new),
    }
}

fn discovery(state: &State) -> Option<String> {
    let failed = &state.undiscovered;
    (!failed.is_empty()).then(|| format!("Discovery failed for some groups: {}", failed.join(", ")))
}

fn content_failure(state: &State) -> Option<String> {
    let lists = state.content.iter().filter_map(|c| c.items.as_ref().err().map(|e| e.message.clone()));
    let deletes =
        state.failures.iter().filter(|f| matches!(f.op, Op::DeleteCollection { .. } | Op::Delete { .. }));
    let all: Vec<String> = lists.chain(deletes.map(|f| f.status.message.clone())).collect();
    (!all.is_empty())
        .then(|| format!("Failed to delete all resource types, {} remaining: {}", all.len(), all.join(", ")))
}

fn remaining(state: &State) -> Option<String> {
    let left: Vec<String> = state
        .content
        .iter()
        .filter_map(|c| {
            let n = c.items.as_ref().map_or(0, Vec::len);
            let gvr = &c.resource.gvr;
            (n > 0).then(|| format!("{}.{} has {n} resource instances", gvr.resource, gvr.group))
        })
        .collect();
    (!left.is_empty()).then(|| format!("Some resources are remaining: {}", left.join(", ")))
}

fn finalizers(state: &State) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for p in state.content.iter().flat_map(|c| c.items.iter().flatten()) {
        for f in &p.metadata.finalizers {
            *counts.entry(f).or_default() += 1;
        }
    }
    let all: Vec<String> = counts.iter().map(|(f, n)| format!("{f} in {n} resource instances")).collect();
    (!all.is_empty())
        .then(|| format!("Some content in the namespace has finalizers remaining: {}", all.join(", ")))
}

//! How many pods there should be, and how many of them healthy.
// k8s: pkg/controller/disruption/disruption.go getExpectedPodCount

use std::collections::BTreeMap;
use std::sync::Arc;

use meta::IntOrString;
use reconcile::Action;

use super::scale::Wanted;
use super::state::Covered;

/// The numbers that a budget amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub pods: i32,
    pub healthy: i32,
    /// Whether there are pods that nobody manages, which do not count.
    pub unmanaged: bool,
}

/// Why there are no numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lacking {
    /// These have to be read before.
    Reads(Vec<Action>),
    /// It cannot be told; with `again` it may be later.
    Failed { why: String, again: bool },
}

/// The numbers of a budget.
///
/// # Errors
/// When owners have to be asked, or cannot be.
pub(super) fn expected(state: &Covered) -> Result<Expected, Lacking> {
    let spec = &state.budget.spec;
    let of_all = |v: &IntOrString, all: i32| {
        v.scaled(all, true).map_err(|e| Lacking::Failed { why: e.to_string(), again: false })
    };
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => {
            let all = sum(state)?;
            let healthy = all.pods.saturating_sub(of_all(most, all.pods)?).max(0);
            Ok(Expected { healthy, ..all })
        }
        (None, Some(IntOrString::Int(least))) => {
            let pods = i32::try_from(state.pods.len()).unwrap_or(i32::MAX);
            Ok(Expected { pods, healthy: *least, unmanaged: false })
        }
        (None, Some(least)) => {
            let all = sum(state)?;
            Ok(Expected { healthy: of_all(least, all.pods)?, ..all })
        }
        (None, None) => Ok(Expected::default()),
    }
}

/// What all owners together want.
// k8s: pkg/controller/disruption/disruption.go getExpectedScale
fn sum(state: &Covered) -> Result<Expected, Lacking> {
    let mut counts: BTreeMap<&Arc<str>, i64> = BTreeMap::new();
    let mut unmanaged = false;
    let mut reads: BTreeMap<&Arc<str>, Action> = BTreeMap::new();
    for pod in &state.pods {
        let Some(owner) = pod.metadata.controller() else {
            unmanaged = true;
            continue;
        };
        match state.owners.get(&owner.uid) {
            Some(Wanted::Replicas { uid, count }) => {
                counts.insert(uid, *count);
            }
            Some(Wanted::Ask { gvr, name }) => {
                let read = || Action::get_sub(gvr.clone(), &pod.metadata.namespace, name, "scale");
                reads.entry(&owner.uid).or_insert_with(read);
            }
            Some(Wanted::Unknown { why, again }) => {
                return Err(Lacking::Failed { why: why.clone(), again: *again });
            }
            Some(Wanted::Nobody) | None => {
                let why = format!("found no controllers for pod {:?}", pod.metadata.name);
                return Err(Lacking::Failed { why, again: false });
            }
        }
    }
    if !reads.is_empty() {
        return Err(Lacking::Reads(reads.into_values().collect()));
    }
    let pods = i32::try_from(counts.values().sum::<i64>()).unwrap_or(i32::MAX);
    Ok(Expected { pods, healthy: 0, unmanaged })
}

//! The two policies that hold an object until its dependents are settled.

use reconcile::{OwnerReference, Plan};

use super::delete::{remove_finalizer, set_owners};
use super::state::{FOREGROUND, ORPHAN, State};

/// Not all dependents may be known yet.
fn later() -> Plan {
    Plan { retry: true, ..Plan::default() }
}

/// Frees all dependents, then lets the owner go.
///
/// Waits for groups that cannot be discovered: a dependent there that is not freed would be collected later.
// k8s: garbagecollector.go attemptToOrphanWorker
pub(crate) fn orphan(state: &State) -> Plan {
    if !state.listed || state.groups_lacking {
        return later();
    }
    let n = &state.node;
    let mut plan = Plan::default();
    let free = |d: &std::sync::Arc<reconcile::graph::Node>| {
        let rest: Vec<&OwnerReference> = d.owners.iter().filter(|o| o.uid != n.uid).collect();
        set_owners(d, &rest)
    };
    plan.step(state.dependents.iter().map(free).collect());
    plan.step(vec![remove_finalizer(n, ORPHAN)]);
    plan
}

/// Lets the owner go when no dependent blocks it any more. The dependents are deleted as keys of their own.
///
/// Does not wait for groups that cannot be discovered, as upstream's does not: one broken API service must not
/// hold every such deletion, and a dependent there is collected all the same, only later. It does wait for a resource
/// that is discovered and cannot be listed, a broken conversion for example, where upstream's waits for half a minute
/// after its start and then goes on without: such an owner would be gone before its dependents.
// k8s: garbagecollector.go processDeletingDependentsItem
pub(crate) fn foreground(state: &State) -> Plan {
    if !state.listed {
        return later();
    }
    let n = &state.node;
    let blocks = |o: &OwnerReference| o.uid == n.uid && o.block_owner_deletion == Some(true);
    if state.dependents.iter().any(|d| d.owners.iter().any(blocks)) {
        return Plan::default();
    }
    Plan::of(vec![remove_finalizer(n, FOREGROUND)])
}

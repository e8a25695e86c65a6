//! Holds all pods together below what the node has for them, by their common cgroup.
// k8s: pkg/kubelet/cm/node_container_manager_linux.go enforceNodeAllocatableCgroups

use std::sync::Arc;
use std::time::Duration;

use super::Shared;

/// Between tries: pods that use more than the limit may go.
const RETRY: Duration = Duration::from_secs(60);

/// Sets the limits, however long that takes; what the machine does not allow is told and does not keep pods away.
pub(crate) async fn run(shared: Arc<Shared>) {
    let limits = &shared.machine.for_pods;
    if !shared.config.enforce_node_allocatable {
        return;
    }
    loop {
        match shared.cgroups.limit_all(limits).await {
            Ok(()) => {
                let message = "Updated Node Allocatable limit across pods".to_owned();
                shared.events.node(false, "NodeAllocatableEnforced", message);
                return;
            }
            Err(e) => {
                tracing::warn!("pods are not held below the node's allocatable resources: {e}");
                let message =
                    format!("Failed to update Node Allocatable Limits {:?}: {e}", shared.cgroups.of_all());
                shared.events.node(true, "FailedNodeAllocatableEnforcement", message);
            }
        }
        if !shared.ctx.sleep(RETRY).await {
            return;
        }
    }
}

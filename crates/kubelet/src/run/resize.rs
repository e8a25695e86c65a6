//! Giving running containers other resources: the pod's cgroup first as wide as before and after need it, then the
//! containers, then the pod's cgroup as it is to be.
// k8s: pkg/kubelet/kuberuntime/kuberuntime_manager.go doPodResizeAction

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};

use super::{Shared, actor};
use crate::admit;
use crate::error::Result;
use crate::spec::{PodExt, resources};
use crate::worker::task::{Change, Resized};

/// Does what the node has room for.
pub(super) async fn resize(shared: &Shared, pod: &Pod, changes: &[Change]) -> Resized {
    if let Some(why) = admit::resize(pod, &actor::taken(&shared.actors.lock()), &shared.machine) {
        return Resized::Pending(why);
    }
    match perform(shared, pod, changes).await {
        Ok(applied) => Resized::Done(applied),
        Err(e) => Resized::Failed(e.to_string()),
    }
}

async fn perform(shared: &Shared, pod: &Pod, changes: &[Change]) -> Result<Vec<ResourceRequirements>> {
    let (old, new) = (resources::pod_limits(&before(pod, changes)), resources::pod_limits(pod));
    shared.cgroups.resize(pod, &old.wider(&new)).await?;
    let mut applied = Vec::new();
    for change in changes {
        let Some(spec) = pod.container(&change.container) else { continue };
        if !change.restart {
            let (memory, score) = (shared.machine.memory_bytes, shared.machine.own_oom_score);
            let linux = resources::container_resources(pod, &spec, memory, score);
            shared.runtime.update_container_resources(&change.id, linux).await?;
        }
        applied.push(spec.resources.clone().unwrap_or_default());
    }
    let last = shared.cgroups.resize(pod, &new).await;
    // A container that is yet to be started anew may still have more than the pod is to have.
    if !changes.iter().any(|c| c.restart) {
        last?;
    }
    Ok(applied)
}

/// The pod as its containers run now.
fn before(pod: &Pod, changes: &[Change]) -> Pod {
    let mut pod = pod.clone();
    let Some(spec) = &mut pod.spec else { return pod };
    for c in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        if let Some(change) = changes.iter().find(|change| change.container == c.name) {
            c.resources = Some(change.before.clone());
        }
    }
    pod
}

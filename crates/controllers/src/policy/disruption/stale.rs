//! Pods that are said to be a disruption's target and do not go: after a while they are said not to be.

use std::time::Duration;

use jiff::Timestamp;
use reconcile::{Action, Plan, time};
use serde_json::json;

use crate::core::condition::find;
use crate::core::pod::{PODS, Pod};

/// How long a pod may be a target without being deleted.
// k8s: pkg/controller/disruption/disruption.go stalePodDisruptionTimeout
const TIMEOUT: Duration = Duration::from_secs(120);

const TARGET: &str = "DisruptionTarget";

/// Since when a pod that does not go is a target; `None`: it is none, or may be one for any time.
// k8s: pkg/controller/disruption/disruption.go nonTerminatingPodHasStaleDisruptionCondition
pub(super) fn since(pod: &Pod) -> Option<Timestamp> {
    if !pod.active() {
        return None;
    }
    let c = find(&pod.status.conditions, TARGET).filter(|c| &*c.status == "True")?;
    // The kubelet says it long before the pod is deleted.
    (&*c.reason != "TerminationByKubelet").then(|| c.last_transition_time.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Plans the end of it.
// k8s: pkg/controller/disruption/disruption.go syncStalePodDisruption
pub(super) fn clear(pod: &Pod, now: Timestamp) -> Plan {
    let Some(since) = since(pod) else { return Plan::default() };
    let end = time::after(since, TIMEOUT);
    if end > now {
        return Plan::at(end);
    }
    let m = &pod.metadata;
    let generation = (m.generation != 0).then_some(m.generation);
    let body = json!({
        "metadata": {"uid": m.uid, "resourceVersion": m.resource_version.to_string()},
        "status": {"conditions": [{
            "type": TARGET, "status": "False", "reason": null, "message": null, "lastProbeTime": null,
            "lastTransitionTime": time::rfc3339(now), "observedGeneration": generation,
        }]},
    });
    Plan::of(vec![Action::strategic_patch(PODS, &m.key(), "status", &body).tolerate(&["NotFound"])])
}

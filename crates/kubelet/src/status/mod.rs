//! A pod's status out of its spec, the runtime's record and what the worker remembers. Pure.

mod conditions;
mod containers;
pub mod patch;
mod phase;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::spec::{PodExt, resources};
use crate::worker::{Stage, Worker};

/// The whole status. `before`: the one published last, for the times of transitions.
// k8s: pkg/kubelet/kubelet_pods.go generateAPIPodStatus
#[must_use]
pub fn compute(w: &Worker, before: Option<&PodStatus>, now: Timestamp) -> PodStatus {
    let pod = &w.pod;
    let spec = pod.sp();
    let before = before.or(pod.status.as_ref());
    let init = containers::statuses(w, spec.init_containers.as_deref().unwrap_or_default(), true);
    let main = containers::statuses(w, &spec.containers, false);
    let ephemeral = containers::ephemeral(w);
    let ending = w.stage > Stage::Stopping;
    let mut phase = phase::phase(pod, &init, &main, ending);
    let old_phase = before.and_then(|b| b.phase.as_deref()).unwrap_or_default();
    if matches!(old_phase, "Succeeded" | "Failed") {
        phase = if old_phase == "Succeeded" { "Succeeded" } else { "Failed" };
    }
    let (mut reason, mut message) = (None, None);
    if let Some(why) = &w.failed {
        phase = "Failed";
        reason = Some(why.reason.clone());
        message = Some(why.message.clone());
    } else if phase == "Failed" {
        reason = before.and_then(|b| b.reason.clone());
        message = before.and_then(|b| b.message.clone());
    }
    let ips = pod_ips(w, before);
    let conditions = conditions::all(w, phase, &init, &main, before, now);
    PodStatus {
        phase: Some(phase.to_owned()),
        reason,
        message,
        conditions: Some(conditions),
        host_ip: w.node.host_ips.first().cloned(),
        host_ips: some(w.node.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect()),
        pod_ip: ips.first().cloned(),
        pod_ips: some(ips.into_iter().map(|ip| PodIP { ip }).collect()),
        start_time: Some(Time(whole_seconds(w.start_time))),
        qos_class: Some(resources::qos(pod).name().to_owned()),
        init_container_statuses: some(init),
        container_statuses: some(main),
        ephemeral_container_statuses: some(ephemeral),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// Times in objects have whole seconds; compared values must have them too.
pub(crate) fn whole_seconds(t: Timestamp) -> Timestamp {
    Timestamp::from_second(t.as_second()).unwrap_or(t)
}

fn pod_ips(w: &Worker, before: Option<&PodStatus>) -> Vec<String> {
    if w.failed.is_some() && w.view.as_ref().is_none_or(|v| v.sandboxes.is_empty()) {
        return Vec::new();
    }
    let newest = w.view.as_ref().and_then(|v| v.sandboxes.first());
    if w.pod.host_network() {
        return if newest.is_some() { w.node.host_ips.clone() } else { Vec::new() };
    }
    match newest {
        Some(s) if !s.ips.is_empty() => s.ips.clone(),
        // The address of a pod that ended stays on show.
        _ if w.stage >= Stage::Stopping => {
            before.and_then(|b| b.pod_ips.as_ref()).into_iter().flatten().map(|p| p.ip.clone()).collect()
        }
        _ => Vec::new(),
    }
}

//! A pod's status out of its spec, the runtime's record and what the worker remembers. Pure.

mod conditions;
mod containers;
pub mod patch;
mod phase;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use crate::spec::{PodExt, resources};
use crate::worker::{Stage, Worker};

/// The whole status. `before`: the one published last, for the times of transitions.
// k8s: pkg/kubelet/kubelet_pods.go generateAPIPodStatus
#[must_use]
pub fn compute(w: &Worker, before: Option<&PodStatus>, now: Timestamp) -> PodStatus {
    let pod = &w.pod;
    let spec = pod.sp();
    if let Some(end) = untouched(w) {
        return end;
    }
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

/// The status of a pod that failed before anything of it was made: there are no containers to tell of, and its
/// conditions stay as they are.
// k8s: pkg/kubelet/kubelet.go rejectPod
fn untouched(w: &Worker) -> Option<PodStatus> {
    let api = w.pod.status.as_ref();
    let phase = api.and_then(|s| s.phase.as_deref()).unwrap_or_default();
    let over = matches!(phase, "Succeeded" | "Failed");
    let told = api.and_then(|s| s.container_statuses.as_ref()).is_some_and(|c| !c.is_empty());
    let seen = w.view.as_ref().is_some_and(|v| !v.containers.is_empty() || !v.sandboxes.is_empty());
    let (phase, reason, message) = if let Some(why) = w.failed.as_ref().filter(|_| w.is_rejected()) {
        ("Failed", Some(why.reason.clone()), Some(why.message.clone()))
    } else if over && !told && !seen {
        (phase, api.and_then(|s| s.reason.clone()), api.and_then(|s| s.message.clone()))
    } else {
        return None;
    };
    Some(PodStatus {
        phase: Some(phase.to_owned()),
        reason,
        message,
        start_time: Some(Time(whole_seconds(w.start_time))),
        qos_class: Some(resources::qos(&w.pod).name().to_owned()),
        observed_generation: w.pod.metadata.generation,
        ..PodStatus::default()
    })
}

/// Whether the API's status says all that ours does. Conditions of other owners, and when ours were looked at, do not
/// count.
// k8s: pkg/kubelet/status/status_manager.go needsReconcile, isPodStatusByKubeletEqual
#[must_use]
pub fn is_told(api: Option<&PodStatus>, ours: &PodStatus) -> bool {
    let Some(api) = api else { return false };
    let (Ok(theirs), Ok(own)) = (serde_json::to_value(api), serde_json::to_value(ours)) else { return false };
    let conditions = |s: &PodStatus| -> Vec<_> {
        let all = s.conditions.iter().flatten().filter(|c| conditions::OWN.contains(&c.type_.as_str()));
        let mut all: Vec<_> = all
            .map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone()))
            .map(|(t, s, r, m)| (t, s, r.unwrap_or_default(), m.unwrap_or_default()))
            .collect();
        all.sort();
        all
    };
    let empty = |v: &Value| v.is_null() || v.as_array().is_some_and(Vec::is_empty);
    patch::FIELDS.iter().all(|f| theirs[f] == own[f] || (empty(&theirs[f]) && empty(&own[f])))
        && (ours.conditions.is_none() || conditions(api) == conditions(ours))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_have_changed_of_ours_is_noticed() {
        let ours = json!({"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
            "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0, "image": "i", "imageID": ""}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]});
        let cases = [
            ("/phase", json!("Running"), true),
            ("/phase", json!("Pending"), false),
            ("/reason", json!("NodeLost"), false),
            ("/hostIPs", json!([]), true),
            ("/conditions/0/status", json!("False"), false),
            ("/conditions/0/reason", json!("ContainersNotReady"), false),
            ("/conditions/0/lastTransitionTime", json!("2020-01-01T00:00:00Z"), true),
            ("/conditions/1", json!({"type": "Ready", "status": "True"}), false),
            (
                "/conditions",
                json!([{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"},
                {"type": "mine/gate", "status": "False"}]),
                true,
            ),
            ("/containerStatuses/0/ready", json!(false), false),
            ("/podIPs", json!([]), false),
            ("/nominatedNodeName", json!("n2"), true),
        ];
        let status = |v: &Value| serde_json::from_value::<PodStatus>(v.clone()).unwrap();
        for (pointer, value, want) in cases {
            let mut api = ours.clone();
            match api.pointer_mut(pointer) {
                Some(slot) => *slot = value.clone(),
                None => {
                    let (parent, key) = pointer.rsplit_once('/').unwrap();
                    api.pointer_mut(parent).unwrap()[key] = value.clone();
                }
            }
            assert_eq!(is_told(Some(&status(&api)), &status(&ours)), want, "{pointer} {value}");
        }
        assert!(!is_told(None, &status(&ours)));
    }
}

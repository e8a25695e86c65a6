//! The strategic merge patch that makes the API's status ours, leaving to others what is theirs.
// k8s: pkg/util/pod/pod.go PatchPodStatus

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};

use crate::spec::PodExt;

/// The fields that this agent writes, beside conditions.
pub(super) const FIELDS: [&str; 13] = [
    "phase",
    "reason",
    "message",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "startTime",
    "qosClass",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "observedGeneration",
];

/// The body of the patch to `/status`: what we do not say (any more) is taken out of the API's status, in conditions
/// too. Conditions of other owners stay; addresses that went away go.
///
/// # Errors
/// Never in practice: a status has only string keys.
pub fn body(pod: &Pod, status: &PodStatus) -> Result<Vec<u8>, serde_json::Error> {
    let mut s = serde_json::to_value(status)?;
    for field in FIELDS.into_iter().filter(|f| !f.ends_with("IPs")) {
        if s.get(field).is_none() {
            s[field] = Value::Null;
        }
    }
    for field in ["podIPs", "hostIPs"] {
        if s.get(field).is_none() {
            s[field] = json!([]);
        }
    }
    // Items of this list are merged: what was said with another status of the condition would stay.
    for condition in s.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        for field in ["reason", "message"] {
            if condition.get(field).is_none() {
                condition[field] = Value::Null;
            }
        }
    }
    let old = pod.status.as_ref();
    for kind in super::conditions::PASSING {
        let had = old.and_then(|o| o.conditions.as_ref()).into_iter().flatten().any(|c| c.type_ == kind);
        if let Some(list) = s.get_mut("conditions").and_then(Value::as_array_mut)
            && had
            && !list.iter().any(|c| c["type"] == kind)
        {
            list.push(json!({"$patch": "delete", "type": kind}));
        }
    }
    for (field, had) in [
        (
            "podIPs",
            old.and_then(|o| o.pod_ips.as_ref()).map(|l| l.iter().map(|i| i.ip.clone()).collect::<Vec<_>>()),
        ),
        ("hostIPs", old.and_then(|o| o.host_ips.as_ref()).map(|l| l.iter().map(|i| i.ip.clone()).collect())),
    ] {
        for ip in had.into_iter().flatten() {
            if let Some(list) = s.get_mut(field).and_then(Value::as_array_mut)
                && !list.iter().any(|have| have["ip"] == ip.as_str())
            {
                list.push(json!({"$patch": "delete", "ip": ip}));
            }
        }
    }
    serde_json::to_vec(&json!({"metadata": {"uid": pod.uid()}, "status": s}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gone_addresses_are_deleted() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"},
            "status": {"podIPs": [{"ip": "1.1.1.1"}, {"ip": "2.2.2.2"}]}}))
        .unwrap();
        let status: PodStatus = serde_json::from_value(json!({"podIPs": [{"ip": "2.2.2.2"}]})).unwrap();
        let got: Value = serde_json::from_slice(&body(&pod, &status).unwrap()).unwrap();
        assert_eq!(
            got["status"]["podIPs"],
            json!([{"ip": "2.2.2.2"}, {"$patch": "delete", "ip": "1.1.1.1"}])
        );
        assert_eq!(got["status"]["reason"], Value::Null);
        assert_eq!(got["metadata"]["uid"], "u");
    }

    #[test]
    fn what_is_not_said_any_more_is_taken_out() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"}})).unwrap();
        let status: PodStatus = serde_json::from_value(json!({"phase": "Failed", "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized"}]}))
        .unwrap();
        let got: Value = serde_json::from_slice(&body(&pod, &status).unwrap()).unwrap();
        let of = |pointer: &str| got.pointer(&format!("/status/{pointer}")).cloned();
        let cases = [
            ("conditions/0/status", json!("True")),
            ("conditions/0/reason", Value::Null),
            ("conditions/0/message", Value::Null),
            ("conditions/1/reason", json!("ContainersNotInitialized")),
            ("conditions/1/message", Value::Null),
            ("message", Value::Null),
            ("containerStatuses", Value::Null),
            ("initContainerStatuses", Value::Null),
            ("ephemeralContainerStatuses", Value::Null),
        ];
        for (pointer, want) in cases {
            assert_eq!(of(pointer), Some(want), "{pointer}");
        }
    }
}

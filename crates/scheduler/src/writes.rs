//! The bodies of what the scheduler's shell writes, so that every shell writes the same.
// k8s: pkg/scheduler/schedule_one.go handleSchedulingFailure; framework/preemption/preemption.go

use jiff::Timestamp;
use reconcile::Key;
use reconcile::time::rfc3339;
use serde_json::{Value, json};

use crate::model::{DISRUPTION_TARGET, PREEMPTION};
use crate::pod::Told;

/// The Binding of a pod to a node.
#[must_use]
pub fn binding(pod: &Key, uid: &str, node: &str) -> Vec<u8> {
    let body = json!({"kind": "Binding", "apiVersion": "v1",
        "metadata": {"name": &*pod.name, "namespace": &*pod.namespace, "uid": uid},
        "target": {"kind": "Node", "apiVersion": "v1", "name": node}});
    body.to_string().into_bytes()
}

/// What is to become of `nominatedNodeName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nomination<'a> {
    Keep,
    Clear,
    To(&'a str),
}

/// A strategic patch of the status that says why a pod has no node; `None` when the status says so already. `told` is
/// what it says now.
#[must_use]
pub fn refused(
    uid: &str,
    new: &Told,
    told: Option<&Told>,
    nomination: Nomination<'_>,
    now: Timestamp,
) -> Option<Vec<u8>> {
    let mut status = json!({});
    if told != Some(new) {
        let mut condition = json!({"type": "PodScheduled", "status": "False", "reason": &*new.reason,
            "message": &*new.message, "lastProbeTime": null});
        // Only a change of the status is a transition.
        if told.is_none() {
            condition["lastTransitionTime"] = rfc3339(now).into();
        }
        status["conditions"] = json!([condition]);
    }
    match nomination {
        Nomination::Keep => {}
        Nomination::Clear => status["nominatedNodeName"] = Value::Null,
        Nomination::To(node) => status["nominatedNodeName"] = node.into(),
    }
    let something = status.as_object().is_some_and(|s| !s.is_empty());
    something.then(|| json!({"metadata": {"uid": uid}, "status": status}).to_string().into_bytes())
}

/// A strategic patch of the status of a pod that no longer has a node nominated for it.
#[must_use]
pub fn displaced(uid: &str) -> Vec<u8> {
    json!({"metadata": {"uid": uid}, "status": {"nominatedNodeName": null}}).to_string().into_bytes()
}

/// A strategic patch of the status of a pod that is about to be deleted for another pod's sake.
#[must_use]
pub fn doomed(uid: &str, scheduler: &str, now: Timestamp) -> Vec<u8> {
    let message = format!("{scheduler}: preempting to accommodate a higher priority pod");
    let condition = json!({"type": DISRUPTION_TARGET, "status": "True", "reason": PREEMPTION, "message": message,
        "lastProbeTime": null, "lastTransitionTime": rfc3339(now)});
    json!({"metadata": {"uid": uid}, "status": {"conditions": [condition]}}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_written_when_it_says_something_new() {
        let now = Timestamp::UNIX_EPOCH;
        let told = |message: &str| Told { reason: "Unschedulable".into(), message: message.into() };
        let (old, new) = (told("old"), told("new"));
        let gated = Told { reason: "SchedulingGated".into(), message: "old".into() };
        // What the pod says, the nomination, and: whether there is a condition, with a transition, and a nomination.
        let cases = [
            (None, Nomination::Keep, Some((true, true, false))),
            (Some(&old), Nomination::Keep, Some((true, false, false))),
            (Some(&gated), Nomination::Keep, Some((true, false, false))),
            (Some(&new), Nomination::Keep, None),
            (Some(&new), Nomination::Clear, Some((false, false, true))),
            (Some(&old), Nomination::To("n"), Some((true, false, true))),
        ];
        for (told, nomination, want) in cases {
            let got = refused("u", &new, told, nomination, now).map(|body| {
                let status = serde_json::from_slice::<Value>(&body).unwrap()["status"].clone();
                let condition = &status["conditions"][0];
                let named = status.as_object().unwrap().contains_key("nominatedNodeName");
                (!condition.is_null(), !condition["lastTransitionTime"].is_null(), named)
            });
            assert_eq!(got, want, "{told:?} {nomination:?}");
        }
    }
}

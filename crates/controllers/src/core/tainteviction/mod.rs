//! Taint eviction: deletes pods from nodes with a `NoExecute` taint that they do not tolerate, or not for
//! that long.
// k8s: pkg/controller/tainteviction/taint_eviction.go

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reconcile::{
    Action, Answers, Caches, Controller, Delta, EventRecord, Interests, Key, KeySink, ObjectReference, Plan,
    time,
};
use serde_json::json;

use crate::core::node::{Node, Taint};
use crate::core::pod::{self, PODS, Pod, Toleration};

/// The controller. Its keys are pods.
pub struct TaintEviction;

/// What a decision on a pod depends on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub pod: Arc<Pod>,
    /// The `NoExecute` taints of its node.
    pub taints: Vec<Taint>,
}

fn execute(n: &Node) -> impl Iterator<Item = &Taint> {
    n.spec.taints.iter().filter(|t| &*t.effect == "NoExecute")
}

fn node_changed(delta: &Delta<Node>, caches: &Caches, sink: &mut KeySink) {
    let Some(n) = &delta.new else { return };
    if delta.old.as_ref().is_some_and(|o| execute(o).eq(execute(n))) || execute(n).next().is_none() {
        return;
    }
    for p in caches.kind::<Pod>().by_index(pod::BY_NODE, &n.metadata.name) {
        sink.add(p.metadata.key());
    }
}

fn pod_changed(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    let Some(p) = &delta.new else { return };
    let node = caches.kind::<Node>().get("", &p.spec.node_name);
    if node.is_some_and(|n| execute(n).next().is_some()) {
        sink.add(p.metadata.key());
    }
}

impl Controller for TaintEviction {
    type State = State;
    type Memory = ();

    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn interests(&self, i: &mut Interests) {
        i.on::<Node>(node_changed);
        i.on::<Pod>(pod_changed);
    }

    fn observe(&self, key: &Key, caches: &Caches, _: &Answers) -> Option<State> {
        let pod = caches.kind::<Pod>().by_key(key).filter(|p| p.active())?.clone();
        let node = caches.kind::<Node>().get("", &pod.spec.node_name)?;
        Some(State { taints: execute(node).cloned().collect(), pod })
    }

    fn reconcile(&self, state: &State, _: &mut (), now: Timestamp) -> Plan {
        match leaves_at(state, now) {
            None => Plan::default(),
            Some(at) if at > now => Plan::at(at),
            Some(_) => evict(&state.pod, now),
        }
    }
}

/// When the pod must leave; `None` when it may stay.
fn leaves_at(state: &State, now: Timestamp) -> Option<Timestamp> {
    let mut earliest = None;
    for t in &state.taints {
        let added = t.time_added.unwrap_or(now);
        let mut tolerating = state.pod.spec.tolerations.iter().filter(|x| tolerates(x, t)).peekable();
        let at = if tolerating.peek().is_none() {
            Some(now)
        } else {
            // Every toleration of the taint counts; the shortest decides.
            tolerating
                .filter_map(|x| x.toleration_seconds)
                .min()
                .map(|s| time::after(added, Duration::from_secs(u64::try_from(s).unwrap_or(0))))
        };
        earliest = earliest.into_iter().chain(at).min();
    }
    earliest
}

// k8s: staging/src/k8s.io/component-helpers/scheduling/corev1/helpers.go
fn tolerates(x: &Toleration, t: &Taint) -> bool {
    (x.effect.is_empty() || x.effect == t.effect)
        && (x.key.is_empty() || x.key == t.key)
        && match &*x.operator {
            "" | "Equal" => x.value == t.value,
            "Exists" => true,
            _ => false,
        }
}

fn evict(p: &Pod, now: Timestamp) -> Plan {
    let m = &p.metadata;
    let condition = json!({
        "metadata": {"uid": m.uid},
        "status": {"conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": time::rfc3339(now),
        }]},
    });
    let about = ObjectReference::to("v1", "Pod", m);
    let message = format!("Marking for deletion Pod {}/{}", m.namespace, m.name);
    let mut plan = Plan::default();
    plan.events.push(EventRecord::normal(about, "TaintManagerEviction", message));
    plan.step(vec![Action::strategic_patch(PODS, &m.key(), "status", &condition).tolerate(&["NotFound"])]);
    plan.step(vec![Action::delete(PODS, m)]);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_decide_when() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let not_ready = r#"{"key":"node.kubernetes.io/not-ready","effect":"NoExecute","timeAdded":"1970-01-01T00:01:40Z"}"#;
        for (tolerations, want) in [
            ("[]", Some(at(200))),
            (r#"[{"operator":"Exists"}]"#, None),
            (
                r#"[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]"#,
                Some(at(400)),
            ),
            (
                r#"[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoSchedule"}]"#,
                Some(at(200)),
            ),
            (r#"[{"key":"node.kubernetes.io/not-ready","operator":"Equal","value":"x"}]"#, Some(at(200))),
        ] {
            let pod = format!(r#"{{"metadata":{{"name":"p"}},"spec":{{"tolerations":{tolerations}}}}}"#);
            let state = State {
                pod: Arc::new(serde_json::from_str(&pod).unwrap()),
                taints: vec![serde_json::from_str(not_ready).unwrap()],
            };
            assert_eq!(leaves_at(&state, at(200)), want, "{tolerations}");
        }
    }
}

//! Taint eviction: deletes pods from nodes with a `NoExecute` taint that they do not tolerate, or not for
//! that long. The time that a pod may stay counts from when this process saw its node tainted: the time that a taint
//! carries is somebody else's, and most carry none.
// k8s: pkg/controller/tainteviction/taint_eviction.go

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use meta::placement;
use reconcile::{
    Action, Answers, Caches, Controller, Delta, EventRecord, Interests, Key, KeySink, ObjectReference, Plan,
    time,
};
use serde_json::json;

use crate::core::node::{Node, Taint};
use crate::core::pod::{self, PODS, Pod, Toleration};

/// The controller. Its keys are pods.
pub struct TaintEviction;

/// When a pod of that UID was first told to leave some time; `None`: it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned(Option<(Arc<str>, Timestamp)>);

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
    let none = || delta.old.is_none() && execute(n).next().is_none();
    if delta.old.as_ref().is_some_and(|o| execute(o).eq(execute(n))) || none() {
        return;
    }
    for p in caches.kind::<Pod>().by_index(pod::BY_NODE, &n.metadata.name) {
        sink.add(p.metadata.key());
    }
}

fn pod_changed(delta: &Delta<Pod>, caches: &Caches, sink: &mut KeySink) {
    let Some(p) = &delta.new else {
        // Nothing is to be remembered of it.
        delta.old.iter().for_each(|p| sink.add(p.metadata.key()));
        return;
    };
    let node = caches.kind::<Node>().get("", &p.spec.node_name);
    if node.is_some_and(|n| execute(n).next().is_some()) {
        sink.add(p.metadata.key());
    }
}

impl Controller for TaintEviction {
    type State = State;
    type Memory = Planned;

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

    // k8s: pkg/controller/tainteviction/taint_eviction.go processPodOnNode
    fn reconcile(&self, state: &State, planned: &mut Planned, now: Timestamp) -> Plan {
        let uid = &state.pod.metadata.uid;
        let before = planned.0.take().filter(|(of, _)| of == uid).map(|(_, since)| since);
        let stay = match stay(state) {
            Stay::Not => return evict(&state.pod, now),
            Stay::Ever => {
                let events = before.map(|_| said(&state.pod, "Cancelling deletion of"));
                return Plan { events: events.into_iter().collect(), ..Plan::default() };
            }
            Stay::For(stay) => stay,
        };
        let since = before.unwrap_or(now);
        planned.0 = Some((uid.clone(), since));
        match time::after(since, stay) {
            at if at > now => Plan::at(at),
            _ => evict(&state.pod, now),
        }
    }
}

/// How long a pod may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// Some taint is not tolerated.
    Not,
    /// From when the node was tainted.
    For(Duration),
    /// There is no taint, or all are tolerated without end.
    Ever,
}

fn stay(state: &State) -> Stay {
    let mut shortest = None;
    for t in &state.taints {
        let mut tolerating = state.pod.spec.tolerations.iter().filter(|x| tolerates(x, t)).peekable();
        if tolerating.peek().is_none() {
            return Stay::Not;
        }
        // Every toleration of the taint counts; the shortest decides.
        let seconds = tolerating.filter_map(|x| x.toleration_seconds).min();
        shortest = shortest.into_iter().chain(seconds).min();
    }
    shortest.map_or(Stay::Ever, |s| Stay::For(Duration::from_secs(u64::try_from(s).unwrap_or(0))))
}

/// Whether a toleration is of that taint.
// k8s: staging/src/k8s.io/component-helpers/scheduling/corev1/helpers.go
pub(crate) fn tolerates(x: &Toleration, t: &Taint) -> bool {
    let toleration =
        placement::Toleration { key: &x.key, operator: &x.operator, value: &x.value, effect: &x.effect };
    placement::tolerates(toleration, placement::Taint { key: &t.key, value: &t.value, effect: &t.effect })
}

fn said(p: &Pod, what: &str) -> EventRecord {
    let m = &p.metadata;
    let about = ObjectReference::to("v1", "Pod", m);
    EventRecord::normal(about, "TaintManagerEviction", format!("{what} Pod {}/{}", m.namespace, m.name))
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
    let mut plan = Plan::default();
    plan.events.push(said(p, "Marking for deletion"));
    plan.step(vec![Action::strategic_patch(PODS, &m.key(), "status", &condition).tolerate(&["NotFound"])]);
    plan.step(vec![Action::delete(PODS, m)]);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_READY: &str =
        r#"{"key":"node.kubernetes.io/not-ready","effect":"NoExecute","timeAdded":"1970-01-01T00:01:40Z"}"#;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn state(uid: &str, tolerations: &str, taints: &str) -> State {
        let pod = format!(
            r#"{{"metadata":{{"name":"p","namespace":"n","uid":"{uid}"}},"spec":{{"tolerations":{tolerations}}}}}"#
        );
        State {
            pod: Arc::new(serde_json::from_str(&pod).unwrap()),
            taints: serde_json::from_str(taints).unwrap(),
        }
    }

    #[test]
    fn tolerations_decide_how_long_a_pod_may_stay() {
        let for_300 = Stay::For(Duration::from_secs(300));
        for (tolerations, want) in [
            ("[]", Stay::Not),
            (r#"[{"operator":"Exists"}]"#, Stay::Ever),
            (
                r#"[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]"#,
                for_300,
            ),
            (r#"[{"operator":"Exists"},{"operator":"Exists","tolerationSeconds":300}]"#, for_300),
            (r#"[{"operator":"Exists","tolerationSeconds":-5}]"#, Stay::For(Duration::ZERO)),
            (
                r#"[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoSchedule"}]"#,
                Stay::Not,
            ),
            (r#"[{"key":"node.kubernetes.io/not-ready","operator":"Equal","value":"x"}]"#, Stay::Not),
        ] {
            assert_eq!(stay(&state("u", tolerations, &format!("[{NOT_READY}]"))), want, "{tolerations}");
        }
        assert_eq!(stay(&state("u", "[]", "[]")), Stay::Ever);
    }

    /// What happens at each look: `evict`, `cancel`, or the second at which it is looked again. A taint that tells
    /// no time (as kubectl's) counts as one that tells a wrong one.
    #[test]
    fn the_time_counts_from_when_the_taint_was_seen() {
        let minutes = r#"[{"operator":"Exists","tolerationSeconds":300}]"#;
        let hour = r#"[{"operator":"Exists","tolerationSeconds":3600}]"#;
        let plain = r#"[{"key":"k","effect":"NoExecute"}]"#;
        let ahead = r#"[{"key":"k","effect":"NoExecute","timeAdded":"2030-01-01T00:00:00Z"}]"#;
        let long_ago = r#"[{"key":"k","effect":"NoExecute","timeAdded":"1970-01-01T00:00:01Z"}]"#;
        /// When, the pod's uid, its tolerations, the node's taints.
        type Look = (i64, &'static str, &'static str, &'static str);
        let cases: [(&str, &[Look], &[&str]); 6] = [
            (
                "no time",
                &[(1000, "u", minutes, plain), (1100, "u", minutes, plain), (1300, "u", minutes, plain)],
                &["1300", "1300", "evict"],
            ),
            ("ahead", &[(1000, "u", minutes, ahead), (1300, "u", minutes, ahead)], &["1300", "evict"]),
            (
                "long ago",
                &[(1000, "u", minutes, long_ago), (1299, "u", minutes, long_ago)],
                &["1300", "1300"],
            ),
            (
                "taint removed and put back",
                &[
                    (1000, "u", minutes, plain),
                    (1200, "u", minutes, "[]"),
                    (1200, "u", minutes, "[]"),
                    (1250, "u", minutes, plain),
                ],
                &["1300", "cancel", "", "1550"],
            ),
            (
                "another pod of the name",
                &[(1000, "u", minutes, plain), (1200, "v", minutes, plain)],
                &["1300", "1500"],
            ),
            (
                "tolerated for longer now",
                &[(1000, "u", minutes, plain), (1200, "u", hour, plain), (1250, "u", "[]", plain)],
                &["1300", "4600", "evict"],
            ),
        ];
        for (what, looks, want) in cases {
            let mut planned = Planned::default();
            let done: Vec<String> = looks
                .iter()
                .map(|(now, uid, tolerations, taints)| {
                    let plan =
                        TaintEviction.reconcile(&state(uid, tolerations, taints), &mut planned, at(*now));
                    let message = plan.events.first().map(|e| e.message.clone()).unwrap_or_default();
                    match (plan.steps.is_empty(), &*message, plan.requeue_at) {
                        (false, "Marking for deletion Pod n/p", None) => "evict".to_owned(),
                        (true, "Cancelling deletion of Pod n/p", None) => "cancel".to_owned(),
                        (true, "", again) => again.map(|t| t.as_second().to_string()).unwrap_or_default(),
                        other => panic!("{what}: {other:?}"),
                    }
                })
                .collect();
            assert_eq!(done, want, "{what}");
        }
    }
}
